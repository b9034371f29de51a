"""How a cache folder is opened: who has it, how it was left, what may still be trusted.

    folder/owner.lock    the lock            marks.py
    folder/mark          how it was left     marks.py
    folder/keys          the view keys       keyring.py
    folder/data.mdb      the database        store.py
    folder/lock.mdb      LMDB's reader table
    folder/compact/      only while the database is being compacted

`decide_opening` is pure; `open_folder` does what it says. The folder belongs to the cache alone.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cache.contract import Opening
from cache.errors import CacheUnusable, StoreDamaged, StoreError
from cache.keyring import Keyring
from cache.map_size import map_bytes_for
from cache.marks import FORMAT, FolderLock, StopMark, key_check_of, load_mark, store_mark
from cache.store import Store, remove_store

SHORT_LIVED_COUNT_MAX: Final = 8
"""So many openings in a row that died before their first upkeep, and the cache starts empty."""


def decide_opening(
    mark: StopMark | None, *, database_bytes: int | None, boot_id: str | None, key_check: bytes
) -> Opening:
    """Decide what may be trusted of what is there. Pure.

    Args:
        mark: How the cache was left; None if that is not known.
        database_bytes: Size of the database file; None if there is none.
        boot_id: Of this start of the machine; None if there is none.
    """
    if database_bytes is None:
        return Opening.NEW
    if mark is None:
        return Opening.EMPTIED_DAMAGED
    if mark.format != FORMAT:
        return Opening.EMPTIED_OTHER_FORMAT
    if mark.key_check != key_check:
        return Opening.EMPTIED_OTHER_KEY
    if mark.is_clean:
        is_whole = database_bytes >= mark.database_bytes
        return Opening.RESUMED if is_whole else Opening.EMPTIED_DAMAGED
    if boot_id is None or mark.boot_id != boot_id:
        return Opening.EMPTIED_MACHINE_STOP
    if mark.short_lived_count >= SHORT_LIVED_COUNT_MAX:
        return Opening.EMPTIED_CRASH_LOOP
    return Opening.RESUMED_AFTER_CRASH


@dataclass(slots=True)
class OpenFolder:
    """An open cache folder: its lock, its database and its keys."""

    path: Path
    lock: FolderLock
    store: Store
    keyring: Keyring
    opening: Opening
    mark: StopMark

    def store_mark(self, mark: StopMark) -> None:
        """Write how the folder is left. Durable on return. Raises OSError."""
        store_mark(self.path / "mark", mark)
        self.mark = mark

    def start_over(self, *, map_bytes: int) -> None:
        """Throw the database away, and begin with an empty one.

        Raises:
            OSError, StoreError: The disk is full or failing; the cache stays closed.
        """
        self.store.close()
        remove_store(self.path)
        self.store = Store.open(self.path, map_bytes=map_bytes)

    def close(self) -> None:
        """Close and unlock. Idempotent."""
        self.store.close()
        self.keyring.close()
        self.lock.release()


def open_folder(
    path: Path, *, device_key: bytes, limit_bytes: int, boot_id: str | None
) -> OpenFolder:
    """Open the cache in `path`, made if need be, emptied if it cannot be trusted.

    Raises:
        CacheInUse: Somebody else has it open.
        CacheUnusable: The folder cannot be made, read or written.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CacheUnusable(path, error.strerror or str(error)) from error
    lock = FolderLock.acquire(path / "owner.lock")
    try:
        return _open_locked(path, lock, device_key, limit_bytes, boot_id)
    except OSError as error:
        lock.release()
        raise CacheUnusable(path, error.strerror or str(error)) from error
    except StoreError as error:
        lock.release()
        raise CacheUnusable(path, str(error)) from error
    except BaseException:
        lock.release()
        raise


def _open_locked(
    path: Path, lock: FolderLock, device_key: bytes, limit_bytes: int, boot_id: str | None
) -> OpenFolder:
    mark_path = path / "mark"
    mark = load_mark(mark_path)
    key_check = key_check_of(device_key)
    opening = decide_opening(
        mark,
        database_bytes=_database_bytes(path),
        boot_id=boot_id,
        key_check=key_check,
    )
    is_emptied = opening.was_emptied or opening is Opening.NEW
    open_mark = StopMark(is_clean=False, boot_id=boot_id or "", key_check=key_check)
    if mark is not None and opening is Opening.RESUMED_AFTER_CRASH:
        open_mark = replace(open_mark, short_lived_count=mark.short_lived_count + 1)
    keyring = Keyring.open(path / "keys", device_key)
    try:
        # Old keys go first: after a crash right here, what is left cannot be read anyway.
        if is_emptied:
            keyring.destroy_all()
            remove_store(path)
        # Durable before the first write, or a machine stop could pass unnoticed.
        store_mark(mark_path, open_mark)
        try:
            store = Store.open(path, map_bytes=_map_bytes_for(path, limit_bytes))
        except StoreDamaged:
            opening = Opening.EMPTIED_DAMAGED
            keyring.destroy_all()
            remove_store(path)
            store = Store.open(path, map_bytes=_map_bytes_for(path, limit_bytes))
    except BaseException:
        keyring.close()
        raise
    return OpenFolder(path, lock, store, keyring, opening, open_mark)


def _map_bytes_for(path: Path, limit_bytes: int) -> int:
    return map_bytes_for(limit_bytes, file_bytes=_database_bytes(path) or 0)


def _database_bytes(path: Path) -> int | None:
    try:
        return (path / "data.mdb").stat().st_size
    except FileNotFoundError:
        return None
