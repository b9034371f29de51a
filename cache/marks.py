"""What must outlive a stop, beside the database: who has the folder, and how it was left.

    owner.lock   held with flock(2) for as long as the cache is open; holds the holder's pid
    mark         512 bytes, overwritten in place:
                 checksum (16) | format (4) | clean (1) | short-lived openings (1) |
                 key check (16) | boot id, NUL-padded (64) | database size (8) | zeros

The database is written without fsync: it survives the death of its process, not that of the
machine. So the mark says "open since boot B" durably *before* the first write, and "clean" only
after everything was synced. Found open under another boot id, the database is not even looked at.

A torn or unreadable mark reads as absent. Overwriting in place needs no free disk space.
"""

import fcntl
import os
import struct
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final, Self

from cache.errors import CacheInUse, CacheUnusable

FORMAT: Final = 1

_MARK: Final = struct.Struct(">IBB16s64sQ")
_CHECKSUM_BYTES: Final = 16
_MARK_FILE_BYTES: Final = 512
_SHORT_LIVED_COUNT_MAX: Final = 255


@dataclass(frozen=True, slots=True)
class StopMark:
    """How the cache was left, or that it is open.

    `short_lived_count` counts openings in a row that ended without a clean close before they did
    their first upkeep: a database that kills its process shows itself by it. `database_bytes` is
    the size of the file at a clean close, 0 while it is open.
    """

    is_clean: bool
    boot_id: str
    key_check: bytes
    short_lived_count: int = 0
    database_bytes: int = 0
    format: int = FORMAT


def key_check_of(device_key: bytes) -> bytes:
    """Return 16 bytes that tell whether a device key is the one of before. Pure."""
    return blake2b(b"mountfs cache: key check", key=device_key, digest_size=16).digest()


def load_mark(path: Path) -> StopMark | None:
    """Return the mark in `path`, None if there is none that can be believed."""
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    body = stored[_CHECKSUM_BYTES : _CHECKSUM_BYTES + _MARK.size]
    if len(body) != _MARK.size or stored[:_CHECKSUM_BYTES] != _checksum_of(body):
        return None
    format_, clean, short_lived, key_check, boot_id, database_bytes = _MARK.unpack(body)
    return StopMark(
        is_clean=bool(clean),
        boot_id=boot_id.rstrip(b"\0").decode("utf-8", "replace"),
        key_check=key_check,
        short_lived_count=short_lived,
        database_bytes=database_bytes,
        format=format_,
    )


def store_mark(path: Path, mark: StopMark) -> None:
    """Write `mark`. Durable on return. Raises OSError."""
    body = _MARK.pack(
        mark.format,
        mark.is_clean,
        min(mark.short_lived_count, _SHORT_LIVED_COUNT_MAX),
        mark.key_check,
        mark.boot_id.encode()[:64],
        mark.database_bytes,
    )
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(descriptor, (_checksum_of(body) + body).ljust(_MARK_FILE_BYTES, b"\0"), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _checksum_of(body: bytes) -> bytes:
    return blake2b(body, digest_size=_CHECKSUM_BYTES).digest()


class FolderLock:
    """The one right to have a cache folder open, across and within processes.

    Ends with `release` or with the process. Do not fork while holding it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, path: Path) -> Self:
        """Take the lock at once or not at all.

        Raises:
            CacheInUse: Somebody else has it.
            CacheUnusable: The lock file cannot be made or written.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise CacheUnusable(path.parent, error.strerror or str(error)) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).strip()
            os.close(descriptor)
            raise CacheInUse(path.parent, int(holder) if holder.isdigit() else 0) from None
        except OSError as error:
            os.close(descriptor)
            raise CacheUnusable(path.parent, error.strerror or str(error)) from error
        return cls(descriptor)

    def release(self) -> None:
        """Give the lock back. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
