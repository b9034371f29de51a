"""A folder of objects, looked at from outside: what is there, and what is moved aside.

Unlike `LocalFolderStore` it may look while a server uses the folder, for it makes and empties
nothing. Moving and removing is for whoever knows that no server runs.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backend_server.blocks.block_store import ObjectId
from backend_server.blocks.local_folder import sync_folder, translated
from backend_server.blocks.object_files import object_id_of, path_of
from backend_server.protocol.identity import DriveId

_DRIVE: Final = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file among a drive's objects. `object_id` is None if its name is none of an object."""

    path: Path
    object_id: ObjectId | None
    modified_at_s: float


class FolderInspection:
    """Looks at the objects under `root`; `quarantine` takes what is moved aside.

    Raises (each method):
        StoreUnavailable: The folder cannot be read, or changed.
    """

    def __init__(self, root: Path, quarantine: Path) -> None:
        self._root = root
        self._quarantine = quarantine

    def has_drive(self, drive_id: DriveId) -> bool:
        """Whether there is a folder for the drive's objects."""
        return (self._root / drive_id).is_dir()

    def list_drives(self) -> list[DriveId]:
        """Return the drives that have a folder here."""
        with translated():
            names = sorted(entry.name for entry in self._root.iterdir() if entry.is_dir())
        return [DriveId(name) for name in names if _DRIVE.fullmatch(name)]

    def list_files(self, drive_id: DriveId) -> Iterator[Sequence[FoundFile]]:
        """Yield the files of a drive, a shelf at a time."""
        folder = self._root / drive_id
        if not folder.is_dir():
            return
        with translated():
            shelves = sorted(folder.iterdir())
        for shelf in shelves:
            if not shelf.is_dir():
                yield [FoundFile(shelf, None, shelf.lstat().st_mtime)]
                continue
            with translated():
                yield [_found(drive_id, entry) for entry in os.scandir(shelf)]

    def size_of(self, object_id: ObjectId) -> int | None:
        """Return how many bytes an object has, None if it is not there."""
        with translated():
            try:
                return path_of(self._root, object_id).stat().st_size
            except FileNotFoundError:
                return None

    def read(self, object_id: ObjectId) -> bytes | None:
        """Return an object's bytes as they are, None if the disk cannot read them."""
        with translated():
            try:
                return path_of(self._root, object_id).read_bytes()
            except OSError as error:
                if error.errno in (errno.EIO, errno.ENOENT):
                    return None
                raise

    def move_object_aside(self, object_id: ObjectId) -> None:
        """Move an object into the quarantine. Durable on return. Idempotent."""
        self.move_aside(path_of(self._root, object_id), object_id.drive_id)

    def move_aside(self, path: Path, drive_id: DriveId) -> None:
        """Move a file into the quarantine. Durable on return. Idempotent."""
        with translated():
            target = self._room_for(drive_id) / path.name
            try:
                path.rename(target)
            except FileNotFoundError:
                return
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                # The blocks are on a disk of their own.
                shutil.copy2(path, target)
                with target.open("rb") as copy:
                    os.fsync(copy.fileno())
                sync_folder(target.parent)
                path.unlink()
            sync_folder(target.parent)
            sync_folder(path.parent)

    def keep_aside(self, drive_id: DriveId, name: str, data: bytes) -> None:
        """Put bytes into the quarantine. Durable on return."""
        with translated():
            target = self._room_for(drive_id) / name
            with target.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(target.parent)

    def remove(self, object_ids: Sequence[ObjectId]) -> None:
        """Remove objects."""
        with translated():
            for object_id in object_ids:
                path_of(self._root, object_id).unlink(missing_ok=True)

    def _room_for(self, drive_id: DriveId) -> Path:
        folder = self._quarantine / drive_id
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True)
            sync_folder(self._quarantine)
            sync_folder(self._quarantine.parent)
        return folder


def inline_name(chunk_id: bytes, digest: bytes) -> str:
    """Return the name in the quarantine of a block that was in its row. Pure."""
    return f"{chunk_id.hex()}.inline-{digest.hex()[:16]}"


def _found(drive_id: DriveId, entry: os.DirEntry[str]) -> FoundFile:
    object_id = object_id_of(drive_id, entry.name) if entry.is_file(follow_symlinks=False) else None
    return FoundFile(Path(entry.path), object_id, entry.stat(follow_symlinks=False).st_mtime)
