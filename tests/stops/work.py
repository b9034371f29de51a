"""The script: a user's work, one system call a step, so that a stop leaves at most one in doubt.

Opening and closing a file around a call changes nothing that a step speaks of.
"""

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PIECE_BYTES: Final = 128 * 1024
"""A write(2) of no more that begins at a page reaches the mount as one request."""

PIECE_COUNT: Final = 40
"""Pieces of the big file: 5 MB, 20 blocks or so."""

BASE: Final = {
    "letter": 5_000,
    "report": 200_000,
    "script": 700,
    "old/photo": 700_000,
    "old/minutes": 1_000,
}
"""What is on the drive before the script begins: path to bytes."""


@dataclass(frozen=True)
class Create:
    path: str

    def make(self, root: Path) -> None:
        os.close(os.open(root / self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


@dataclass(frozen=True)
class Write:
    """`offset` None appends."""

    path: str
    offset: int | None
    content: bytes

    def make(self, root: Path) -> None:
        flags = os.O_WRONLY | (os.O_APPEND if self.offset is None else 0)
        descriptor = os.open(root / self.path, flags)
        try:
            if self.offset is None:
                written = os.write(descriptor, self.content)
            else:
                written = os.pwrite(descriptor, self.content, self.offset)
        finally:
            os.close(descriptor)
        assert written == len(self.content)

    def __repr__(self) -> str:
        return f"Write({self.path!r}, {self.offset}, {len(self.content)} bytes)"


@dataclass(frozen=True)
class Resize:
    path: str
    size_bytes: int

    def make(self, root: Path) -> None:
        os.truncate(root / self.path, self.size_bytes)


@dataclass(frozen=True)
class Empty:
    """O_TRUNC: what a program does that saves in place."""

    path: str

    def make(self, root: Path) -> None:
        os.close(os.open(root / self.path, os.O_WRONLY | os.O_TRUNC))


@dataclass(frozen=True)
class Rename:
    path: str
    target: str

    def make(self, root: Path) -> None:
        (root / self.path).rename(root / self.target)


@dataclass(frozen=True)
class Link:
    path: str
    target: str

    def make(self, root: Path) -> None:
        (root / self.target).hardlink_to(root / self.path)


@dataclass(frozen=True)
class Symlink:
    path: str
    leads_to: str

    def make(self, root: Path) -> None:
        (root / self.path).symlink_to(self.leads_to)


@dataclass(frozen=True)
class Remove:
    path: str

    def make(self, root: Path) -> None:
        (root / self.path).unlink()


@dataclass(frozen=True)
class MakeFolder:
    path: str

    def make(self, root: Path) -> None:
        (root / self.path).mkdir()


@dataclass(frozen=True)
class RemoveFolder:
    path: str

    def make(self, root: Path) -> None:
        (root / self.path).rmdir()


@dataclass(frozen=True)
class ChangeMode:
    path: str
    mode: int

    def make(self, root: Path) -> None:
        (root / self.path).chmod(self.mode)


@dataclass(frozen=True)
class SetAttribute:
    """An extended attribute in the `user.` namespace."""

    path: str
    name: str
    content: bytes

    def make(self, root: Path) -> None:
        os.setxattr(root / self.path, f"user.{self.name}", self.content)


@dataclass(frozen=True)
class Fsync:
    """fsync(2) of a file or a folder: what it had is promised to outlive a power loss."""

    path: str

    def make(self, root: Path) -> None:
        descriptor = os.open(root / self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@dataclass(frozen=True)
class Sync:
    """`mountfs sync`: everything is promised to be on the server. Made by whoever has the mount."""

    def make(self, root: Path) -> None:
        """Nothing to do on a plain folder."""


Step = (
    Create | Write | Resize | Empty | Rename | Link | Symlink | Remove | MakeFolder | RemoveFolder
    | ChangeMode | SetAttribute | Fsync | Sync
)  # fmt: skip


def make_base(root: Path) -> None:
    """Put BASE into an empty folder: the same bytes each time."""
    chance = random.Random(0)
    for path, size_bytes in BASE.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(chance.randbytes(size_bytes))


def plan_work(*, piece_count: int = PIECE_COUNT) -> Sequence[Step]:
    """Return the steps of the script, the same each time. Pure.

    `piece_count` pieces of PIECE_BYTES make the big file.
    """
    return list(_steps(random.Random(1), piece_count))


def _steps(chance: random.Random, piece_count: int) -> Iterator[Step]:
    # A small file saved beside another and renamed over it, and edits in place of all sizes.
    yield MakeFolder("new")
    yield Create("new/draft")
    yield Write("new/draft", 0, chance.randbytes(3_000))
    yield Write("new/draft", None, chance.randbytes(500))
    yield Fsync("new/draft")
    yield Write("report", 50_000, chance.randbytes(4_096))
    yield Write("report", 150_000, chance.randbytes(60_000))
    yield Fsync("report")
    yield Write("report", 10_000, chance.randbytes(30_000))
    yield Write("letter", None, chance.randbytes(100))
    yield Resize("old/photo", 300_000)
    yield Rename("new/draft", "letter")
    yield ChangeMode("script", 0o755)
    yield SetAttribute("script", "colour", b"green")
    yield Sync()
    # A file of many blocks, synced in the middle.
    yield Create("big")
    for piece in range(piece_count):
        yield Write("big", None, chance.randbytes(PIECE_BYTES))
        if piece == piece_count // 2:
            yield Fsync("big")
    # Names: hard links, symlinks, a folder moved with what is in it, removals.
    yield Link("report", "new/second")
    yield Symlink("new/way", "../report")
    yield Remove("old/minutes")
    yield Fsync("old")
    yield Rename("old", "older")
    yield MakeFolder("passing")
    yield Create("passing/by")
    yield Write("passing/by", 0, chance.randbytes(20_000))
    yield Sync()
    yield Remove("passing/by")
    yield RemoveFolder("passing")
    # A photo saved as an editor does, a letter saved in place, and edits of what went up just now.
    yield Create("older/photo.tmp")
    yield Write("older/photo.tmp", 0, chance.randbytes(100_000))
    yield Write("older/photo.tmp", None, chance.randbytes(100_000))
    yield Fsync("older/photo.tmp")
    yield Rename("older/photo.tmp", "older/photo")
    yield Empty("letter")
    yield Write("letter", 0, chance.randbytes(70_000))
    yield Write("new/second", 0, chance.randbytes(10))
    yield Remove("report")
    yield Write("big", 1_000_000, chance.randbytes(5_000))
    yield Fsync("big")
    yield Write("big", 1_002_000, chance.randbytes(20_000))
    yield SetAttribute("script", "colour", b"blue")
    yield Sync()
    # The end is promised to nobody but by the unmount.
    yield Create("last")
    yield Write("last", 0, chance.randbytes(9_000))
    yield Write("last", None, chance.randbytes(50_000))
    yield Resize("big", 400_000)
    yield Rename("last", "new/last")
