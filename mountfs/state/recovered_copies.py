"""Copies of bytes that could not stay where they were, in the state folder's `recovered/`.

A copy is named by node and generation. It is sparse: its bytes lie at their offsets in the file. A
file beside it (`.path`) tells where the file was, for a node that nobody may know later. They are
listed until a person moves or removes them.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mountfs.state.folder_names import make_folder, sync_folder

_COPY_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class RecoveredCopy:
    """Bytes of a file of the drive. `known_path`: where it was; empty: the tree may tell."""

    node_id: int
    path: Path
    known_path: str = ""


def copy_path(recovered_folder: Path, node_id: int, generation_id: int) -> Path:
    """Return where the copy of a generation lies; the folder is made if need be."""
    make_folder(recovered_folder)
    return recovered_folder / f"{node_id}-{generation_id}"


def note_path(copy: Path, path: str) -> None:
    """Remember which file of the drive `copy` is of. Durable on return."""
    noted = _noted(copy)
    with noted.open("wb") as file:
        file.write(path.encode(errors="surrogateescape"))
        file.flush()
        os.fsync(file.fileno())
    sync_folder(noted.parent)


def highest_generation(recovered_folder: Path) -> int:
    """Return the highest number of a copy, 0 without any: a new state must count on from there, or
    its copies would lie over these."""
    if not recovered_folder.is_dir():
        return 0
    numbers = (path.name.partition("-")[2] for path in recovered_folder.iterdir())
    return max((int(number) for number in numbers if number.isdigit()), default=0)


def find_recovered(recovered_folder: Path) -> list[RecoveredCopy]:
    """Return the copies that nobody has taken or removed yet, oldest first."""
    if not recovered_folder.is_dir():
        return []
    named = [
        (int(generation), RecoveredCopy(int(node), path, _load_noted(path)))
        for path in recovered_folder.iterdir()
        for node, _, generation in [path.name.partition("-")]
        if node.isdigit() and generation.isdigit()
    ]
    return [copy for _, copy in sorted(named, key=lambda item: item[0])]


def copy_range(source: Path, target: Path, start: int, end: int) -> None:
    """Put bytes `start` to `end` of `source` into `target`, as far as they are there.

    Durable on return.
    """
    try:
        reader = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while start < end:
            data = os.pread(reader, min(end - start, _COPY_BYTES), start)
            if not data:
                break
            os.pwrite(writer, data, start)
            start += len(data)
        os.fsync(writer)
        sync_folder(target.parent)
    finally:
        os.close(reader)
        os.close(writer)


def put_bytes(target: Path, start: int, data: bytes) -> None:
    """Put `data` at `start` into `target`. Durable on return."""
    writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(writer, data, start)
        os.fsync(writer)
        sync_folder(target.parent)
    finally:
        os.close(writer)


def _noted(copy: Path) -> Path:
    return copy.with_name(f"{copy.name}.path")


def _load_noted(copy: Path) -> str:
    try:
        return _noted(copy).read_bytes().decode(errors="backslashreplace")
    except FileNotFoundError:
        return ""
