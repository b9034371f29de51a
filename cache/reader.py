"""Reading from the database: any thread, no waiting, no writing.

A read opens one transaction, opens the frames it needs, and is done; its use is noted in memory. A
value that does not open is a miss and is remembered as damaged. A database that contradicts itself
makes everything a miss until upkeep starts it over.
"""

from collections.abc import Iterable

from cache.condition import Condition
from cache.errors import StoreError, ValueDamaged
from cache.opening import OpenFolder
from cache.rows import CHUNK_KIND, piece_key
from cache.sealing import open_range
from cache.store import Transaction
from cache.views import Views


class Reader:
    """The reading half of a `BlockCache`."""

    def __init__(self, folder: OpenFolder, views: Views, condition: Condition) -> None:
        self._folder = folder
        self._views = views
        self._condition = condition

    def open_value(
        self, view: str, kind: bytes, value_id: bytes, offset: int, length: int | None
    ) -> bytes | None:
        """Return `value[offset : offset + length]`, None if it is not here."""
        condition = self._condition
        opened = self._try_open(view, kind, value_id, offset, length)
        if opened is None:
            condition.miss_count += 1
        else:
            condition.hit_count += 1
        return opened

    def _try_open(
        self, view: str, kind: bytes, value_id: bytes, offset: int, length: int | None
    ) -> bytes | None:
        condition = self._condition
        found = self._views.find(view)
        if found is None or not condition.is_usable:
            return None
        key = found.key_of(kind, value_id)
        if condition.is_gone(key):
            return None
        try:
            with self._folder.store.reading() as transaction:
                opened = open_range(
                    found.cipher,
                    found.bound_name_of(kind, value_id),
                    lambda index: transaction.get(b"items", piece_key(key, index)),
                    offset,
                    length,
                )
        except ValueDamaged:
            condition.note_damaged(key)
            return None
        except StoreError as error:
            condition.note_refusal(error)
            return None
        if opened is not None:
            condition.touches.touch(key)
            self._folder.store.note_read(len(opened))
        return opened

    def contains_many(self, view: str, chunk_ids: Iterable[bytes]) -> set[bytes]:
        """Return those of `chunk_ids` that are here. Does not count as use."""
        found = self._views.find(view)
        if found is None or not self._condition.is_usable:
            return set()
        try:
            with self._folder.store.reading() as transaction:
                return {
                    chunk_id
                    for chunk_id in chunk_ids
                    if self._is_here(transaction, found.key_of(CHUNK_KIND, chunk_id))
                }
        except StoreError as error:
            self._condition.note_refusal(error)
            return set()

    def _is_here(self, transaction: Transaction, key: bytes) -> bool:
        return not self._condition.is_gone(key) and transaction.get(b"index", key) is not None
