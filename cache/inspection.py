"""Looks at a cache that nobody has open, and changes nothing: what an opening would make of it,
whether its tables keep their invariants, and whether every value opens.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cache.boot import load_boot_id
from cache.check import find_contradictions
from cache.contract import Opening
from cache.errors import StoreError, ValueDamaged
from cache.keyring import Keyring
from cache.marks import key_check_of, load_mark
from cache.opening import decide_opening
from cache.rows import piece_key, split_key, view_number_of
from cache.sealing import open_range
from cache.store import Store, Transaction
from cache.views import View

Told = Callable[[int], None]
"""Called with how many values were opened so far."""


@dataclass(frozen=True, slots=True)
class CacheInspection:
    """What was found.

    Args:
        opening: What the next opening will make of the folder; None: there is no cache.
        trouble: Why the database as a whole cannot be believed; empty if it can.
        contradictions: Broken invariants, one line each.
        damaged: Keys of values that do not open.
        value_count: Values that were looked at.
    """

    opening: Opening | None
    trouble: str = ""
    contradictions: tuple[str, ...] = ()
    damaged: tuple[bytes, ...] = ()
    value_count: int = 0

    @property
    def is_well(self) -> bool:
        return not (self.trouble or self.contradictions or self.damaged)


def inspect_cache(
    folder: Path, *, device_key: bytes, boot_id: str | None = None, told: Told = lambda _: None
) -> CacheInspection:
    """Open every value of the cache in `folder`. Takes as long as reading all of it."""
    if not (folder / "mark").exists() and not (folder / "data.mdb").exists():
        return CacheInspection(None)
    opening = _decide(folder, device_key, load_boot_id() if boot_id is None else boot_id)
    match opening:
        case Opening.RESUMED | Opening.RESUMED_AFTER_CRASH:
            pass
        case Opening.NEW:
            return CacheInspection(opening, "the database file is gone")
        case Opening.EMPTIED_DAMAGED:
            return CacheInspection(opening, "the database file or its mark is not whole")
        case _:
            return CacheInspection(opening)  # not damage: a stop of the machine, another key
    try:
        with _as_it_was(folder / "data.mdb"):
            store = Store.open_to_read(folder)
            try:
                return _inspect(store, opening, _load_views(folder / "keys", device_key), told)
            finally:
                store.close()
    except StoreError as error:
        return CacheInspection(opening, f"the database contradicts itself: {error}")


def _decide(folder: Path, device_key: bytes, boot_id: str | None) -> Opening:
    database = folder / "data.mdb"
    return decide_opening(
        load_mark(folder / "mark"),
        database_bytes=database.stat().st_size if database.exists() else None,
        boot_id=boot_id,
        key_check=key_check_of(device_key),
    )


def _inspect(store: Store, opening: Opening, views: dict[int, View], told: Told) -> CacheInspection:
    contradictions = tuple(find_contradictions(store))
    damaged = []
    count = 0
    with store.reading() as transaction:
        for key, _ in transaction.scan(b"index"):
            view = views.get(view_number_of(key))
            if view is None:
                continue  # of a dropped view: nobody can open it, and upkeep will take it
            count += 1
            if not _opens(transaction, view, key):
                damaged.append(key)
            told(count)
    return CacheInspection(opening, "", contradictions, tuple(damaged), count)


def _opens(transaction: Transaction, view: View, key: bytes) -> bool:
    _, kind, value_id = split_key(key)
    try:
        opened = open_range(
            view.cipher,
            view.bound_name_of(kind, value_id),
            lambda index: transaction.get(b"items", piece_key(key, index)),
            0,
            None,
        )
    except ValueDamaged:
        return False
    return opened is not None


def _load_views(path: Path, device_key: bytes) -> dict[int, View]:
    if not path.exists():
        return {}
    keyring = Keyring(os.open(path, os.O_RDONLY | os.O_CLOEXEC), device_key)
    try:
        return {key.number: View(key) for key in keyring.load()}
    finally:
        keyring.close()


@contextmanager
def _as_it_was(database: Path) -> Iterator[None]:
    """Leave the file as long, and as old, as it was: opening it may add pages of zeros."""
    before = database.stat()
    try:
        yield
    finally:
        if database.stat().st_size != before.st_size:
            os.truncate(database, before.st_size)
            os.utime(database, ns=(before.st_atime_ns, before.st_mtime_ns))
