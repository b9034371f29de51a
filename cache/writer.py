"""Writing to the database: puts, removals and pins.

One writer at a time: `BlockCache` serialises, so the ledger's sums are those of the last commit.
No method raises for a full disk or for damage: it counts, and keeps less.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from cache.condition import Condition
from cache.errors import DiskFull, StoreError, StoreFull
from cache.eviction import bytes_above_low_watermark, limit_after_disk_full, may_grow
from cache.evictor import Evictor
from cache.ledger import Change, Ledger
from cache.map_size import larger_map_bytes
from cache.opening import OpenFolder
from cache.rows import CHUNK_KIND, charged_bytes_of
from cache.sealing import NONCE_BYTES, SEALED_PIECE_BYTES_MAX, seal
from cache.views import View, Views

WRITE_COUNT_MAX: Final = 2048
"""Small rows that one write transaction changes: bounds how long others wait, about 20 ms."""

MAPPING_BYTES_MIN: Final = 1024 * 1024
"""A transaction of so much is worth letting its mapped pages go."""

LOOK_EVERY_BYTES: Final = 4 * 1024 * 1024
"""Between two looks at how full the disk is."""

_T = TypeVar("_T")


class Writer:
    """The writing half of a `BlockCache`."""

    def __init__(
        self,
        folder: OpenFolder,
        ledger: Ledger,
        views: Views,
        condition: Condition,
        evictor: Evictor,
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self._views = views
        self._condition = condition
        self._evictor = evictor
        self._scratch = bytearray(SEALED_PIECE_BYTES_MAX)
        self._unlooked_bytes = LOOK_EVERY_BYTES

    def put(self, view: str, kind: bytes, values: Sequence[tuple[bytes, bytes]]) -> int:
        """Keep (id, plaintext) pairs in one transaction; return how many are here now.

        A chunk that is here already is not written again; it counts as used.
        """
        condition = self._condition
        if not condition.is_usable:
            condition.refused_count += len(values)
            return 0
        try:
            stored_view = self._views.ensure_stored(view)
        except OSError:
            self._note_disk_full()
            condition.refused_count += len(values)
            return 0
        keyed = [(stored_view.key_of(kind, one), one, plain) for one, plain in values]
        here = self._keys_here([key for key, _, _ in keyed]) if kind == CHUNK_KIND else set()
        for key in here:
            condition.touches.touch(key)
        fresh = self._fitting([entry for entry in keyed if entry[0] not in here])
        is_kept = self._insert(stored_view, kind, fresh)
        kept = len(keyed) - sum(entry[0] not in here for entry in keyed)
        kept += len(fresh) if is_kept else 0
        condition.refused_count += len(keyed) - kept
        return kept

    def _keys_here(self, keys: Iterable[bytes]) -> set[bytes]:
        try:
            with self._folder.store.scanning() as transaction:
                return {
                    key
                    for key in keys
                    if key not in self._condition.damaged
                    and transaction.get(b"index", key) is not None
                }
        except StoreError as error:
            self._condition.note_refusal(error)
            return set()

    def _fitting(
        self, entries: list[tuple[bytes, bytes, bytes]]
    ) -> list[tuple[bytes, bytes, bytes]]:
        """Evict to make room for `entries`; return those that fit, in order."""
        limit = self._condition.limit_bytes
        incoming = sum(charged_bytes_of(len(plaintext)) for _, _, plaintext in entries)
        self._evictor.evict(
            bytes_above_low_watermark(
                used_bytes=self._ledger.used_bytes, limit_bytes=limit, incoming_bytes=incoming
            )
        )
        room = limit - self._ledger.used_bytes
        fitting = []
        for entry in entries:
            charged = charged_bytes_of(len(entry[2]))
            if charged <= room:
                room -= charged
                fitting.append(entry)
        return fitting

    def _insert(self, view: View, kind: bytes, entries: list[tuple[bytes, bytes, bytes]]) -> bool:
        if not entries:
            return True
        if not self._has_disk(sum(charged_bytes_of(len(plaintext)) for _, _, plaintext in entries)):
            self._note_disk_full()
            return False
        nonces = os.urandom(NONCE_BYTES * len(entries))

        def insert(change: Change) -> None:
            for at, (key, value_id, plaintext) in enumerate(entries):
                pieces = seal(
                    view.cipher,
                    view.bound_name_of(kind, value_id),
                    plaintext,
                    nonces[at * NONCE_BYTES : (at + 1) * NONCE_BYTES],
                    scratch=self._scratch,
                )
                change.insert(key, len(plaintext), pieces)

        if not self.apply(insert):
            return False
        self._condition.damaged.difference_update(key for key, _, _ in entries)
        if sum(len(plaintext) for _, _, plaintext in entries) >= MAPPING_BYTES_MIN:
            self._folder.store.release_mapped_pages()
        return True

    def _has_disk(self, incoming_bytes: int) -> bool:
        """Whether the disk has room for so much, and keeps some for others."""
        self._unlooked_bytes += incoming_bytes
        if self._unlooked_bytes < LOOK_EVERY_BYTES:
            return True
        try:
            disk = shutil.disk_usage(self._folder.path)
        except OSError:
            return True  # the write will tell
        if not may_grow(
            incoming_bytes=incoming_bytes,
            used_bytes=self._ledger.used_bytes,
            file_bytes=self._folder.store.file_bytes(),
            free_disk_bytes=disk.free,
            disk_bytes=disk.total,
        ):
            return False
        self._unlooked_bytes = 0
        return True

    def apply(self, work: Callable[[Change], None]) -> bool:
        """Run `work` in one transaction; whether it was kept.

        A full map is grown, then relieved by one eviction; `work` may so run up to three times.
        """
        for attempt in range(3):
            try:
                with self._ledger.change() as change:
                    work(change)
                return True
            except StoreFull:
                if attempt == 2 or not (self._grow_map() or self._evict_some()):
                    return False
            except DiskFull:
                self._note_disk_full()
                return False
            except StoreError as error:
                self._condition.note_refusal(error)
                return False
        return False

    def _grow_map(self) -> bool:
        """Whether the map could be made larger."""
        store = self._folder.store
        before = store.map_bytes
        wanted = larger_map_bytes(before, limit_bytes=self._condition.asked_limit_bytes)
        try:
            store.grow(wanted)
        except StoreError:
            return False  # no address space: evict instead
        return wanted > before

    def _evict_some(self) -> bool:
        return self._evictor.evict(max(1, self._ledger.used_bytes // 8))[0] > 0

    def _note_disk_full(self) -> None:
        self._condition.disk_full_count += 1
        self._condition.limit_bytes = limit_after_disk_full(
            used_bytes=self._ledger.used_bytes, limit_bytes=self._condition.limit_bytes
        )

    def remove(self, keys: Iterable[bytes]) -> int:
        """Forget values; return how many were here."""
        removed = 0
        for batch in slices(keys, WRITE_COUNT_MAX):
            found: list[bytes] = []

            def remove(
                change: Change, batch: Sequence[bytes] = batch, found: list[bytes] = found
            ) -> None:
                found.clear()
                found.extend(key for key in batch if change.remove(key))

            if self.apply(remove):
                removed += len(found)
                self._condition.damaged.difference_update(batch)
        return removed

    def reclaim(self, view_number: int, count_max: int) -> int | None:
        """Forget up to `count_max` rows of a dropped view; return how many, None if refused."""
        count = 0

        def reclaim(change: Change) -> None:
            nonlocal count
            count = change.reclaim(view_number, count_max)

        return count if self.apply(reclaim) else None

    def change_each(self, keys: Iterable[bytes], work: Callable[[Change, bytes], object]) -> bool:
        """Run `work` for each key, in bounded transactions; whether all of it was kept."""
        is_kept = True
        for batch in slices(keys, WRITE_COUNT_MAX):

            def work_on_batch(change: Change, batch: Sequence[bytes] = batch) -> None:
                for key in batch:
                    work(change, key)

            is_kept = self.apply(work_on_batch) and is_kept
        return is_kept


def slices(items: Iterable[_T], count_max: int) -> Iterator[list[_T]]:
    """Give `items` in lists of at most `count_max`. Pure."""
    batch: list[_T] = []
    for item in items:
        batch.append(item)
        if len(batch) >= count_max:
            yield batch
            batch = []
    if batch:
        yield batch
