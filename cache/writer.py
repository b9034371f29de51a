"""Writing to the database: puts, removals, pins and eviction.

One writer at a time: `BlockCache` serialises, so the ledger's sums are those of the last commit.
No method raises for a full disk or for damage: it counts, and keeps less.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from cache.condition import Condition
from cache.errors import DiskFull, StoreError, StoreFull
from cache.eviction import (
    EVICTION_COUNT_MAX,
    SCAN_COUNT_MAX,
    Candidate,
    EvictionPlan,
    bytes_above_low_watermark,
    limit_after_disk_full,
    plan_eviction,
)
from cache.ledger import Change, Ledger
from cache.opening import OpenFolder, map_bytes_for, map_bytes_max_for
from cache.rows import CHUNK_KIND, charged_bytes_of, split_key
from cache.sealing import NONCE_BYTES, SEALED_PIECE_BYTES_MAX, seal
from cache.views import View, Views

WRITE_COUNT_MAX: Final = 2048
"""Small rows that one write transaction changes: bounds how long others wait, about 20 ms."""

_T = TypeVar("_T")


class Writer:
    """The writing half of a `BlockCache`."""

    def __init__(
        self, folder: OpenFolder, ledger: Ledger, views: Views, condition: Condition
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self._views = views
        self._condition = condition
        self._scratch = bytearray(SEALED_PIECE_BYTES_MAX)

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
        self.evict(
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
        limit = self._condition.asked_limit_bytes
        before = store.map_bytes
        wanted = map_bytes_for(limit)
        if before >= wanted:
            wanted = min(map_bytes_max_for(limit), before + before // 8)
        try:
            store.grow(wanted)
        except StoreError:
            return False  # no address space: evict instead
        return wanted > before

    def _evict_some(self) -> bool:
        return self.evict(max(1, self._ledger.used_bytes // 8))[0] > 0

    def _note_disk_full(self) -> None:
        self._condition.disk_full_count += 1
        self._condition.limit_bytes = limit_after_disk_full(
            used_bytes=self._ledger.used_bytes, limit_bytes=self._condition.limit_bytes
        )

    def evict(self, bytes_to_free: int, *, count_max: int | None = None) -> tuple[int, int]:
        """Evict the oldest until so much is free; return (values, bytes) that left.

        Frees less if the rest is pinned or in use, or after `count_max` values.
        """
        left = self._ledger.value_count if count_max is None else count_max
        evicted_count = evicted_bytes = 0
        # Each batch evicts or passes over at least one value, and what is passed over goes to the
        # end: once around is enough, also when everything is in use.
        for _ in range(2 + self._ledger.value_count // min(EVICTION_COUNT_MAX, SCAN_COUNT_MAX)):
            if evicted_bytes >= bytes_to_free or left <= 0:
                break
            count, freed, is_more = self._evict_batch(
                bytes_to_free - evicted_bytes, min(left, EVICTION_COUNT_MAX)
            )
            left -= count
            evicted_count += count
            evicted_bytes += freed
            if not is_more:
                break
        return evicted_count, evicted_bytes

    def _evict_batch(self, bytes_to_free: int, count_max: int) -> tuple[int, int, bool]:
        """Return (values, bytes) that left and whether another batch may help."""
        try:
            with self._folder.store.scanning() as transaction:
                plan = plan_eviction(
                    (
                        Candidate(
                            key,
                            charged,
                            is_in_use=self._is_in_use(key) or key in self._condition.touches,
                        )
                        for key, charged in self._ledger.oldest(transaction)
                    ),
                    bytes_to_free=bytes_to_free,
                    count_max=count_max,
                )
        except StoreError as error:
            self._condition.note_refusal(error)
            return 0, 0, False
        if not plan.victims and not plan.passed_over:
            return 0, 0, False
        done = self._execute_eviction(plan)
        return (*done, True) if done is not None else (0, 0, False)

    def _execute_eviction(self, plan: EvictionPlan) -> tuple[int, int] | None:
        """Do what `plan` says, but for what was pinned or taken into use since.

        Return (values, bytes) that left, None if the database refused.
        """
        condition = self._condition
        # From here on the victims are a miss: whoever holds one now never saw it here.
        condition.leaving = frozenset(victim.key for victim in plan.victims)
        victims = [victim.key for victim in plan.victims if not self._is_in_use(victim.key)]
        condition.leaving = frozenset(victims)
        evicted_count = freed = 0
        try:
            with self._ledger.change() as change:
                for key in victims:
                    if not change.is_pinned(key):
                        freed += change.remove(key)
                        evicted_count += 1
                passed_over = condition.touches.in_order(one.key for one in plan.passed_over)
                for key in passed_over:
                    change.renew(key)
        except StoreError as error:
            condition.note_refusal(error)
            return None
        finally:
            condition.leaving = frozenset()
        condition.touches.forget(passed_over)
        return evicted_count, freed

    def _is_in_use(self, key: bytes) -> bool:
        number, kind, value_id = split_key(key)
        name = self._views.name_of(number)
        return kind == CHUNK_KIND and name is not None and (name, value_id) in self._condition.holds

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
