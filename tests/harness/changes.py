"""A person's changes to a folder as values, so that they can be interrupted and made again.

Invariant: every change is idempotent. Made once or twice, or once halfway and then again, it leaves
the same folder. That is what lets a test kill something in the middle of one, make it again on
the mount and on a plain folder, and hold the two together.
"""

import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NAMES: Final = tuple(f"file{index}" for index in range(8))
FOLDER_NAMES: Final = ("", "sub", "sub/deep")
SIZE_BYTES_MAX: Final = 300_000


@dataclass(frozen=True)
class Save:
    """The whole file is written anew, as by an editor, through a temporary file."""

    path: str
    content: bytes

    def make(self, root: Path) -> None:
        target = root / self.path
        temporary = target.with_name(target.name + ".tmp")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(self.content)
        temporary.replace(target)


@dataclass(frozen=True)
class Patch:
    """Bytes inside, behind the end, or far behind it are written in place."""

    path: str
    offset: int
    content: bytes

    def make(self, root: Path) -> None:
        target = root / self.path
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(target, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            # pwrite(2) may write less: the kernel asks twice, and the mount is killed in between.
            done = 0
            while done < len(self.content):
                done += os.pwrite(handle, self.content[done:], self.offset + done)
        finally:
            os.close(handle)


@dataclass(frozen=True)
class Resize:
    path: str
    size_bytes: int

    def make(self, root: Path) -> None:
        target = root / self.path
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(target, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.ftruncate(handle, self.size_bytes)
        finally:
            os.close(handle)


@dataclass(frozen=True)
class Move:
    """`path` becomes `target`; nothing to do where it is gone already."""

    path: str
    target: str

    def make(self, root: Path) -> None:
        (root / self.target).parent.mkdir(parents=True, exist_ok=True)
        if (root / self.path).exists():
            (root / self.path).replace(root / self.target)


@dataclass(frozen=True)
class Remove:
    path: str

    def make(self, root: Path) -> None:
        (root / self.path).unlink(missing_ok=True)


@dataclass(frozen=True)
class ChangeMode:
    path: str
    mode: int

    def make(self, root: Path) -> None:
        if (root / self.path).exists():
            (root / self.path).chmod(self.mode)


Change = Save | Patch | Resize | Move | Remove | ChangeMode


def draw_change(chance: random.Random) -> Change:
    """Return some change. The same `chance` draws the same changes."""
    path = _draw_path(chance)
    kind = chance.choices(
        (Save, Patch, Resize, Move, Remove, ChangeMode), weights=(6, 8, 2, 2, 1, 1)
    )[0]
    if kind is Save:
        return Save(path, _draw_content(chance))
    if kind is Patch:
        return Patch(path, chance.randrange(SIZE_BYTES_MAX), _draw_content(chance))
    if kind is Resize:
        return Resize(path, chance.randrange(SIZE_BYTES_MAX))
    if kind is Move:
        return Move(path, _draw_path(chance))
    if kind is Remove:
        return Remove(path)
    return ChangeMode(path, chance.choice((0o600, 0o644, 0o755)))


def _draw_path(chance: random.Random) -> str:
    return str(Path(chance.choice(FOLDER_NAMES), chance.choice(NAMES)))


def _draw_content(chance: random.Random) -> bytes:
    size_bytes = chance.choice((0, 10, 1000, 5000, 70_000, SIZE_BYTES_MAX))
    return chance.randbytes(size_bytes)
