"""The door to LMDB: the only module that imports it. Foreign exceptions end here.

Settings, and why (http://www.lmdb.tech/doc/, https://lmdb.readthedocs.io/):

- no writemap: a full disk would kill the process with SIGBUS;
- sync and metasync off: a commit survives the process, not the machine (see marks.py);
- lib_version 0: the 0.9 engine and its file format, whatever later bindings prefer;
- meminit stays on: unused ends of pages must not carry old heap bytes to the disk;
- lock.mdb is allocated before LMDB maps it, or a full disk would again mean SIGBUS.

Concurrency: `reading()` may be used from any thread, inline, for microseconds. `writing()` blocks
until no other write transaction runs, and lives wholly in the calling thread. Growing or closing
the map invalidates every open transaction: short readers hold `_gate` meanwhile, and so do `grow`
and `close`. Long scans use `scanning()`, which holds nothing, so that nobody waits for them: only
the one thread that may write, grow and close may scan. Buffers from a transaction die with it.
"""

import errno
import os
import shutil
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import lmdb

from cache.errors import DiskFull, StoreDamaged, StoreError, StoreFull, StoreRefused
from cache.resident import MappedPages

PAGE_BYTES: Final = 4096
PAGE_HEADER_BYTES: Final = 16
# Larger values get pages of their own; smaller ones share one with others.
SHARED_PAGE_VALUE_BYTES_MAX: Final = 1900

MAPPED_BYTES_MAX: Final = 16 * 1024 * 1024
"""After values of so much were read, the pages that this mapped are let go."""

_FAULT_AROUND_BYTES: Final = 64 * 1024
"""What the kernel maps beside the page that is asked for (fault_around_bytes)."""

_COMPACT_FOLDER: Final = "compact"
_LOCK_FILE_BYTES: Final = 8192
_READERS_MAX: Final = 126
# Of LMDB 0.9: one cache line a reader, and a header of two.
assert (_READERS_MAX + 2) * 64 <= _LOCK_FILE_BYTES

# LMDB reports a short write as EIO; over quota or over the largest file size is "full" too.
_FULL_CODES: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_DAMAGE: Final = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.BadDbiError,
    lmdb.IncompatibleError,
)

TABLES: Final = (b"items", b"index", b"order", b"pins", b"totals")


# A row that does not parse, or a sum below zero that does not pack, is damage as well.
_FOREIGN: Final = (lmdb.Error, struct.error)


def _translate(error: lmdb.Error | struct.error) -> StoreError:
    if isinstance(error, struct.error):
        return StoreDamaged(f"a row makes no sense: {error}")
    if isinstance(error, lmdb.MapFullError | lmdb.TxnFullError):
        return StoreFull(str(error))
    if isinstance(error, _DAMAGE):
        return StoreDamaged(str(error))
    if error.code in _FULL_CODES:
        return DiskFull(str(error))
    return StoreRefused(str(error))


class Transaction:
    """Reads, and in a write transaction writes, of five sorted tables of bytes.

    Table names are those of TABLES. `get` gives a buffer that dies with the transaction.
    """

    __slots__ = ("_tables", "_transaction")

    def __init__(
        self,
        transaction: "lmdb.Transaction[memoryview]",
        tables: "dict[bytes, lmdb._Database]",
    ) -> None:
        self._transaction = transaction
        self._tables = tables

    def get(self, table: bytes, key: bytes) -> memoryview | None:
        """Return the value of `key`, None if there is none."""
        return self._transaction.get(key, db=self._tables[table])

    def put(self, table: bytes, key: bytes, value: bytes | memoryview) -> None:
        """Set the value of `key`; `value` is copied."""
        self._transaction.put(key, value, db=self._tables[table])

    def delete(self, table: bytes, key: bytes) -> bool:
        """Remove `key`; whether it was there."""
        return self._transaction.delete(key, db=self._tables[table])

    def count(self, table: bytes) -> int:
        """Return how many keys `table` has. Constant time."""
        return int(self._transaction.stat(self._tables[table])["entries"])

    def scan(self, table: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Give copies of (key, value) from `start` on, in key order.

        The table must not be changed while this runs.
        """
        with self._transaction.cursor(self._tables[table]) as cursor:
            found = cursor.set_range(start) if start else cursor.first()
            while found:
                yield bytes(cursor.key()), bytes(cursor.value())
                found = cursor.next()

    def last_key(self, table: bytes) -> bytes | None:
        """Return the greatest key of `table`, None if it is empty."""
        with self._transaction.cursor(self._tables[table]) as cursor:
            return bytes(cursor.key()) if cursor.last() else None


class _Reading:
    """A read transaction. Written out, not generated: it stands in every cached read."""

    __slots__ = ("_gate", "_store", "_transaction")

    def __init__(self, store: "Store", gate: "threading.Lock | None") -> None:
        self._store = store
        self._gate = gate

    def __enter__(self) -> Transaction:
        if self._gate is not None:
            self._gate.acquire()
        try:
            self._transaction = self._store._environment.begin(buffers=True)
        except lmdb.Error as error:
            if self._gate is not None:
                self._gate.release()
            raise _translate(error) from error
        return Transaction(self._transaction, self._store._tables)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            self._transaction.abort()
        finally:
            if self._gate is not None:
                self._gate.release()
        if isinstance(error, _FOREIGN):
            raise _translate(error) from error


class _Writing:
    """A write transaction: committed at the end of the block, or as if it had never been."""

    __slots__ = ("_store", "_transaction")

    def __init__(self, store: "Store") -> None:
        self._store = store

    def __enter__(self) -> Transaction:
        try:
            self._transaction = self._store._environment.begin(write=True, buffers=True)
        except lmdb.Error as error:
            raise _translate(error) from error
        return Transaction(self._transaction, self._store._tables)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None:
            self._transaction.abort()
            if isinstance(error, _FOREIGN):
                raise _translate(error) from error
            return
        try:
            self._transaction.commit()
        except lmdb.Error as failure:
            raise _translate(failure) from failure


class Store:
    """Five sorted tables in one file, with transactions."""

    def __init__(
        self, environment: lmdb.Environment, tables: "dict[bytes, lmdb._Database]", path: Path
    ) -> None:
        self._environment = environment
        self._tables = tables
        self._path = path
        self._gate = threading.Lock()
        self._mapped_bytes = 0
        self._mapped_pages: MappedPages | None = MappedPages(path)
        """None while there is no map."""

    @classmethod
    def open(cls, folder: Path, *, map_bytes: int) -> Self:
        """Open or make the database in `folder`.

        Raises:
            StoreDamaged: What is there is no database.
            OSError, DiskFull: The folder cannot be written, or the disk is full.
        """
        environment, tables = _open_environment(folder, map_bytes)
        return cls(environment, tables, (folder / "data.mdb").resolve())

    @classmethod
    def open_to_read(cls, folder: Path) -> Self:
        """Open the database in `folder` to look at it, while nobody else has it open.

        Changes nothing, but for zeros at its end where a crash left out pages.

        Raises:
            StoreDamaged: What is there is no database.
        """
        environment, tables = _open_environment(folder, PAGE_BYTES, is_read_only=True)
        return cls(environment, tables, (folder / "data.mdb").resolve())

    def reading(self) -> _Reading:
        """Return a short read transaction as a context manager. Any thread."""
        return _Reading(self, self._gate)

    def scanning(self) -> _Reading:
        """Return a read transaction that may take its time. Only for the thread that may write."""
        return _Reading(self, None)

    def writing(self) -> _Writing:
        """Return a write transaction as a context manager. Blocks while another one runs."""
        return _Writing(self)

    @property
    def map_bytes(self) -> int:
        """How large the file may grow."""
        return int(self._environment.info()["map_size"])

    def grow(self, map_bytes: int) -> None:
        """Let the file grow to `map_bytes`; a smaller value changes nothing.

        No write transaction may run. Waits for readers. Raises `StoreError`.
        """
        with self._gate:
            try:
                if map_bytes > self.map_bytes:
                    self._mapped_pages = MappedPages(self._path)
                    self._environment.set_mapsize(map_bytes)
            except lmdb.Error as error:
                raise _translate(error) from error

    def compact(self, *, map_bytes: int) -> None:
        """Go on in a new file that has no free pages: the one way to give disk space back.

        Copies at the speed of the disk, meanwhile nobody may write; readers wait a moment at the
        end.

        Raises:
            StoreDamaged: It could not be opened again.
            OSError, StoreError: It could not be copied; the database is as it was.
        """
        target = self._path.parent / _COMPACT_FOLDER
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(mode=0o700)
        try:
            try:
                self._environment.copy(str(target), compact=True)
            except lmdb.Error as error:
                raise _translate(error) from error
            with self._gate:
                self._close()
                try:
                    (target / "data.mdb").replace(self._path)
                    opened = _open_environment(self._path.parent, map_bytes)
                except (OSError, StoreError) as error:
                    raise StoreDamaged(f"closed to compact, and not open again: {error}") from error
                self._environment, self._tables = opened
                self._mapped_pages = MappedPages(self._path)
        finally:
            shutil.rmtree(target, ignore_errors=True)

    def note_read(self, size_bytes: int) -> None:
        """A value of `size_bytes` was read; from time to time, let all mapped pages go.

        Any thread.
        """
        self._mapped_bytes += size_bytes + _FAULT_AROUND_BYTES
        if self._mapped_bytes > MAPPED_BYTES_MAX:
            self.release_mapped_pages()

    def release_mapped_pages(self) -> None:
        """Let go of the pages that reads and writes have mapped. Any thread; some 0.2 ms.

        Writing maps pages too: the tree is read through the map, and beside each of its pages the
        kernel maps what it has in memory. A transaction of 4 MiB was seen to map 16 to 50 MiB.
        """
        self._mapped_bytes = 0
        with self._gate:
            if self._mapped_pages is not None:
                self._mapped_pages.release()

    def file_bytes(self) -> int:
        """Return the size of the database file, 0 if there is none just now."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def sync(self) -> None:
        """Make every commit durable. Raises `StoreError`."""
        try:
            self._environment.sync(True)
        except lmdb.Error as error:
            raise _translate(error) from error

    def close(self) -> None:
        """Close the database; waits for readers. Idempotent."""
        with self._gate:
            self._close()

    def _close(self) -> None:
        self._mapped_pages = None
        self._environment.close()


def remove_store(folder: Path) -> None:
    """Remove the database files in `folder`. Raises OSError."""
    for name in ("data.mdb", "lock.mdb"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / _COMPACT_FOLDER, ignore_errors=True)


def _open_environment(
    folder: Path, map_bytes: int, *, is_read_only: bool = False
) -> "tuple[lmdb.Environment, dict[bytes, lmdb._Database]]":
    data_path = folder / "data.mdb"
    _check_size_before_mapping(data_path)
    if not is_read_only:
        _allocate_lock_file(folder / "lock.mdb")
    try:
        environment = lmdb.Environment(
            str(folder),
            map_size=map_bytes,
            subdir=True,
            create=False,
            readonly=is_read_only,
            lock=not is_read_only,
            mode=0o600,
            sync=False,
            metasync=False,
            writemap=False,
            readahead=True,
            max_dbs=len(TABLES),
            max_readers=_READERS_MAX,
            max_spare_txns=1,
            lib_version=0,
        )
    except lmdb.Error as error:
        raise _translate(error) from error
    try:
        # A page beyond the end of the file is SIGBUS to touch; one of zeros is only damage. Pages
        # at the end may rightly be missing: taken and given back in one transaction.
        bound = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        if data_path.stat().st_size < bound:
            os.truncate(data_path, bound)
        tables = {name: environment.open_db(name, create=not is_read_only) for name in TABLES}
        return environment, tables
    except lmdb.Error as error:
        environment.close()
        raise _translate(error) from error
    except BaseException:
        environment.close()
        raise


def _check_size_before_mapping(data_path: Path) -> None:
    """Raises StoreDamaged if not even the two meta pages are there."""
    if data_path.exists() and data_path.stat().st_size < 2 * PAGE_BYTES:
        raise StoreDamaged("the database file is cut off")


def _allocate_lock_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, _LOCK_FILE_BYTES)
    finally:
        os.close(descriptor)
