"""Sparse files that hold what was written here and is not on the server: one a generation.

Written and read on the event loop's thread (the page cache answers in microseconds); synced from
a worker thread through a descriptor of its own. Descriptors of the loop's are kept in a bounded
number, the longest unused is closed first.
"""

import errno
import os
from collections import OrderedDict
from pathlib import Path
from typing import Final

from mountfs.errors import LocalStorageBroken, LocalStorageFull

_DESCRIPTORS_MAX: Final = 256

FREE_BYTES_MIN: Final = 16 << 20
"""Kept free for rows: on a disk that content has filled, a file can still be removed."""

_LOOK_EVERY_BYTES: Final = 1 << 20
assert _LOOK_EVERY_BYTES < FREE_BYTES_MIN


class StagingFiles:
    """The files of one drive, named by generation."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptors: OrderedDict[int, int] = OrderedDict()
        self._unlooked_bytes = _LOOK_EVERY_BYTES

    def path(self, generation_id: int) -> Path:
        return self._folder / str(generation_id)

    def write(self, generation_id: int, offset: int, data: bytes | memoryview) -> None:
        """Write all of `data`. Survives SIGKILL on return.

        Raises:
            LocalStorageFull: Nothing may be counted as written.
        """
        self._look_for_room(len(data))
        descriptor = self._descriptor(generation_id)
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(descriptor, view, offset)
                view, offset = view[written:], offset + written
        except OSError as error:
            raise _translated(error) from error

    def read(self, generation_id: int, offset: int, length: int) -> bytes:
        """Return `length` bytes; what was never written is zero."""
        try:
            data = os.pread(self._descriptor(generation_id), length, offset)
        except OSError as error:
            raise _translated(error) from error
        return data if len(data) == length else data.ljust(length, b"\0")

    def remove(self, generation_id: int) -> None:
        """Remove the file if it is there."""
        descriptor = self._descriptors.pop(generation_id, None)
        if descriptor is not None:
            os.close(descriptor)
        self.path(generation_id).unlink(missing_ok=True)

    def sync(self, generation_id: int) -> None:
        """Put the file's bytes on the platter. Blocks; for a worker thread."""
        try:
            descriptor = os.open(self.path(generation_id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return  # retired meanwhile: its bytes are on the server
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            raise _translated(error) from error
        finally:
            os.close(descriptor)

    def generation_ids(self) -> set[int]:
        return {int(path.name) for path in self._folder.iterdir() if path.name.isdigit()}

    def close(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def _look_for_room(self, length: int) -> None:
        self._unlooked_bytes += length
        if self._unlooked_bytes < _LOOK_EVERY_BYTES:
            return
        state = os.statvfs(self._folder)
        if state.f_bavail * state.f_frsize < FREE_BYTES_MIN + length:
            raise LocalStorageFull("the disk that holds what is not yet on the server is full")
        self._unlooked_bytes = 0

    def _descriptor(self, generation_id: int) -> int:
        descriptor = self._descriptors.get(generation_id)
        if descriptor is not None:
            self._descriptors.move_to_end(generation_id)
            return descriptor
        try:
            descriptor = os.open(
                self.path(generation_id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise _translated(error) from error
        self._descriptors[generation_id] = descriptor
        if len(self._descriptors) > _DESCRIPTORS_MAX:
            os.close(self._descriptors.popitem(last=False)[1])
        return descriptor


def _translated(error: OSError) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LocalStorageFull("the disk that holds what is not yet on the server is full")
    return LocalStorageBroken(f"the staging area failed: {error}")


def staging_sizes(state_folder: Path) -> dict[int, int]:
    """Return generation to bytes of its staging file, of the state in `state_folder`."""
    folder = state_folder / "staging"
    if not folder.is_dir():
        return {}
    return {int(path.name): path.stat().st_size for path in folder.iterdir() if path.name.isdigit()}
