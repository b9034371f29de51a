"""Objects as files of a folder.

    ROOT/incoming/N                              being written; emptied at start
    ROOT/DRIVE/SHELF/CHUNK.GENERATION            an object; SHELF is six bits of the chunk id

The 64 shelves of a drive are made, durably, before its first object.

A group is written to `incoming`, synced file by file in `SYNC_THREADS` threads, renamed into
place, and the folders that were touched are synced once each. So an object is under its name
whole or not at all, and a crash leaves at most files in `incoming`. Measured on 2 cores, 32
objects of 256 KiB: 14 ms in 2 threads (600 MB/s), as fast as one file of 8 MiB (14 ms).
"""

import errno
import os
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from backend_server.blocks.block_store import ObjectFault, ObjectId, ObjectRef, SealedObject
from backend_server.blocks.errors import StorageFull, StoreUnavailable
from backend_server.blocks.object_files import INCOMING, object_id_of, path_of, shelf_names
from backend_server.blocks.worker_threads import Threads
from backend_server.protocol.identity import DriveId

SYNC_THREADS: Final = 2
"""Files of one group are synced by so many threads; the journal of the file system takes 2 to 4."""
_PARALLEL_FROM_OBJECTS: Final = 4
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

FREE_BYTES_MIN: Final = 64 << 20
"""Left free for the database on the same disk: a full disk must not stop deletes and commits."""


class LocalFolderStore:
    """Keeps objects under `root`, which must exist and belong to this process alone."""

    def __init__(
        self, root: Path, *, threads: Threads, free_bytes_min: int = FREE_BYTES_MIN
    ) -> None:
        self._root = root
        self._incoming = root / INCOMING
        self._threads = threads
        self._free_bytes_min = free_bytes_min
        self._sync_pool = ThreadPoolExecutor(SYNC_THREADS, thread_name_prefix="block-sync")
        self._lock = threading.Lock()
        """Guards the two below. Held while the shelves of a drive are made."""
        self._number = 0
        self._shelved: set[DriveId] = set()
        with translated():
            self._incoming.mkdir(exist_ok=True)
            for left_over in self._incoming.iterdir():
                left_over.unlink()

    async def put_many(self, objects: Sequence[SealedObject]) -> None:
        group = tuple(objects)
        if group:
            await self._threads.run(lambda: self._put_group(group))

    async def get_many(self, refs: Sequence[ObjectRef]) -> list[bytes | ObjectFault]:
        wanted = tuple(refs)
        return await self._threads.run(lambda: [self._read(ref.object_id) for ref in wanted])

    async def delete(self, object_ids: Sequence[ObjectId]) -> None:
        doomed = tuple(object_ids)
        await self._threads.run(lambda: self._unlink_all(doomed))

    async def list_ids(self, drive_id: DriveId) -> AsyncIterator[ObjectId]:
        drive_folder = self._root / drive_id
        for shelf in await self._threads.run(lambda: _names_in(drive_folder)):
            folder = drive_folder / shelf
            for name in await self._threads.run(lambda folder=folder: _names_in(folder)):  # type: ignore[misc]
                object_id = object_id_of(drive_id, name)
                if object_id is not None:
                    yield object_id

    async def check_ready(self) -> None:
        await self._threads.run(lambda: self._check_room(0))

    async def aclose(self) -> None:
        await self._threads.run(self._sync_pool.shutdown)

    def _put_group(self, objects: Sequence[SealedObject]) -> None:
        """All or, when it raises, nothing of the group that was not there before."""
        staged = [(self._next_incoming(), item) for item in objects]
        placed: list[Path] = []
        try:
            with translated():
                self._check_room(sum(len(item.sealed) for item in objects))
                for drive_id in {item.ref.object_id.drive_id for item in objects}:
                    self._make_shelves(drive_id)
                if len(staged) < _PARALLEL_FROM_OBJECTS:
                    _write_all(staged)
                else:
                    parts = [staged[start::SYNC_THREADS] for start in range(SYNC_THREADS)]
                    futures = [self._sync_pool.submit(_write_all, part) for part in parts]
                    # Every part must have ended before anything is cleaned up.
                    faults = [future.exception() for future in futures]
                    for fault in faults:
                        if fault is not None:
                            raise fault
                folders: set[Path] = set()
                for path, item in staged:
                    target = path_of(self._root, item.ref.object_id)
                    if _place(path, target):
                        placed.append(target)
                    folders.add(target.parent)
                for folder in folders:
                    sync_folder(folder)
        except BaseException:
            for path in (*(path for path, _ in staged), *placed):
                with suppress(OSError):
                    path.unlink()
            raise

    def _next_incoming(self) -> Path:
        with self._lock:
            self._number += 1
            return self._incoming / str(self._number)

    def _make_shelves(self, drive_id: DriveId) -> None:
        """Have all shelves of a drive. Durable on return."""
        with self._lock:
            if drive_id in self._shelved:
                return
            for shelf in shelf_names():
                (self._root / drive_id / shelf).mkdir(parents=True, exist_ok=True)
            sync_folder(self._root / drive_id)
            sync_folder(self._root)
            self._shelved.add(drive_id)

    def _check_room(self, size_bytes: int) -> None:
        with translated():
            room = os.statvfs(self._root)
        if room.f_bavail * room.f_frsize < size_bytes + self._free_bytes_min:
            raise StorageFull(f"less than {self._free_bytes_min} bytes would stay free")

    def _read(self, object_id: ObjectId) -> bytes | ObjectFault:
        try:
            return path_of(self._root, object_id).read_bytes()
        except FileNotFoundError:
            return ObjectFault.MISSING
        except OSError as error:
            if error.errno == errno.EIO:
                return ObjectFault.DAMAGED
            raise StoreUnavailable(str(error)) from error

    def _unlink_all(self, object_ids: Sequence[ObjectId]) -> None:
        with translated():
            for object_id in object_ids:
                path_of(self._root, object_id).unlink(missing_ok=True)


def _write_all(staged: Sequence[tuple[Path, SealedObject]]) -> None:
    """Write files that do not exist yet, then sync them: the disk gathers what comes together."""
    fds: list[int] = []
    try:
        for path, item in staged:
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            fds.append(fd)
            view = memoryview(item.sealed)
            while view:
                view = view[os.write(fd, view) :]
        for fd in fds:
            os.fdatasync(fd)
    finally:
        for fd in fds:
            os.close(fd)


def _place(path: Path, target: Path) -> bool:
    """Move `path` to `target` unless something is there. Returns whether it was moved."""
    try:
        # link, not rename: a rename would replace an object that is there already.
        target.hardlink_to(path)
    except FileExistsError:
        path.unlink()
        return False
    path.unlink()
    return True


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _names_in(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreUnavailable(str(error)) from error


@contextmanager
def translated() -> Iterator[None]:
    """The one place where errors of the file system become the store's own."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(str(error)) from error
        raise StoreUnavailable(str(error)) from error
