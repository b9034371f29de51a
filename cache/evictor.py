"""Making room: does what `eviction.py` plans, a transaction a batch. Serialised by `BlockCache`."""

from cache.condition import Condition
from cache.errors import StoreDamaged, StoreError, StoreFull
from cache.eviction import (
    EVICTION_COUNT_MAX,
    SCAN_COUNT_MAX,
    Candidate,
    EvictionPlan,
    plan_eviction,
)
from cache.ledger import Ledger
from cache.map_size import map_bytes_to_evict
from cache.opening import OpenFolder
from cache.rows import CHUNK_KIND, split_key
from cache.views import Views


class Evictor:
    """The part of a `BlockCache` that lets the oldest values go."""

    def __init__(
        self, folder: OpenFolder, ledger: Ledger, views: Views, condition: Condition
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self._views = views
        self._condition = condition

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
        passed_over = condition.touches.in_order(one.key for one in plan.passed_over)
        try:
            done = self._let_go(victims, passed_over)
        except StoreFull:
            # Deleting copies pages before it frees any.
            done = self._let_go_after_growing(victims, passed_over)
        finally:
            condition.leaving = frozenset()
        if done is not None:
            condition.touches.forget(passed_over)
        return done

    def _let_go(self, victims: list[bytes], passed_over: list[bytes]) -> tuple[int, int] | None:
        """Return (values, bytes) that left, None if the database refused. Raises `StoreFull`."""
        evicted_count = freed = 0
        try:
            with self._ledger.change() as change:
                for key in victims:
                    if change.is_pinned(key):
                        continue
                    removed = change.remove(key)
                    if not removed:
                        raise StoreDamaged("the order names a value that is not here")
                    freed += removed
                    evicted_count += 1
                for key in passed_over:
                    change.renew(key)
        except StoreFull:
            raise
        except StoreError as error:
            self._condition.note_refusal(error)
            return None
        return evicted_count, freed

    def _let_go_after_growing(
        self, victims: list[bytes], passed_over: list[bytes]
    ) -> tuple[int, int] | None:
        try:
            return self._let_go(victims, passed_over) if self._grow_map() else None
        except StoreFull:
            return None

    def _grow_map(self) -> bool:
        store = self._folder.store
        before = store.map_bytes
        wanted = map_bytes_to_evict(
            before,
            limit_bytes=self._condition.asked_limit_bytes,
            file_bytes=store.file_bytes(),
        )
        try:
            store.grow(wanted)
        except StoreError:
            return False
        return wanted > before

    def _is_in_use(self, key: bytes) -> bool:
        number, kind, value_id = split_key(key)
        name = self._views.name_of(number)
        return kind == CHUNK_KIND and name is not None and (name, value_id) in self._condition.holds
