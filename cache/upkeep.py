"""What the cache does when nobody asks it anything: one bounded piece at a time."""

import shutil
from contextlib import suppress
from dataclasses import replace

from cache.condition import Condition
from cache.contract import UpkeepReport
from cache.errors import StoreError
from cache.eviction import (
    FREE_DISK_RESERVE_BYTES,
    bytes_above_low_watermark,
    limit_with_free_disk,
)
from cache.evictor import Evictor
from cache.ledger import Change, Ledger
from cache.map_size import map_bytes_for, map_bytes_max_for
from cache.opening import OpenFolder
from cache.views import Views
from cache.writer import WRITE_COUNT_MAX, Writer


class Upkeep:
    """Recency, damage, watermarks, dropped views, a full disk. Serialised by `BlockCache`."""

    def __init__(
        self,
        folder: OpenFolder,
        ledger: Ledger,
        views: Views,
        condition: Condition,
        evictor: Evictor,
        writer: Writer,
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self._views = views
        self._condition = condition
        self._evictor = evictor
        self._writer = writer

    def run(self, count_max: int) -> UpkeepReport:
        """Touch up to `count_max` rows."""
        condition = self._condition
        self._note_survival()
        if condition.is_broken and not self.start_over():
            return UpkeepReport()
        self._look_for_free_disk()
        left = count_max
        recency_count = self.write_recency(left)
        left -= recency_count
        damaged = list(condition.damaged)[: max(left, 0)]
        damaged_count = self._writer.remove(damaged)
        left -= len(damaged)
        evicted_count, evicted_bytes = self._evict(left)
        left -= evicted_count
        reclaimed_count, is_reclaimed = self._reclaim(left)
        if left > 0 and is_reclaimed and condition.is_usable:
            self._compact()
        return UpkeepReport(
            recency_written_count=recency_count,
            evicted_count=evicted_count,
            evicted_bytes=evicted_bytes,
            reclaimed_count=reclaimed_count,
            damaged_removed_count=damaged_count,
            # Uses noted meanwhile wait for the next time: on a busy mount there are always some.
            is_done=not condition.is_usable or (left > 0 and is_reclaimed),
        )

    def write_recency(self, count_max: int) -> int:
        """Write down the uses noted so far; return how many."""
        keys = self._condition.touches.take(count_max)
        self._writer.change_each(keys, Change.renew)
        return len(keys)

    def _note_survival(self) -> None:
        """A process that got this far is not being killed by its cache."""
        mark = self._folder.mark
        if mark.short_lived_count:
            with suppress(OSError):
                self._folder.store_mark(replace(mark, short_lived_count=0))

    def start_over(self) -> bool:
        """Replace the database, which contradicts itself, by an empty one; whether that worked."""
        try:
            self._views.forget_all()
            self._folder.start_over(map_bytes=map_bytes_for(self._condition.asked_limit_bytes))
            self._ledger.reload(self._folder.store)
        except (OSError, StoreError):
            return False
        self._condition.damaged.clear()
        self._condition.is_broken = False
        return True

    def _look_for_free_disk(self) -> None:
        condition = self._condition
        if condition.limit_bytes < condition.asked_limit_bytes:
            condition.limit_bytes = max(
                condition.limit_bytes,
                limit_with_free_disk(
                    used_bytes=self._ledger.used_bytes,
                    asked_limit_bytes=condition.asked_limit_bytes,
                    free_disk_bytes=self._free_disk_bytes(),
                ),
            )

    def _compact(self) -> None:
        """Give disk space back after the limit was lowered by much."""
        store = self._folder.store
        asked = self._condition.asked_limit_bytes
        used = self._ledger.used_bytes
        if store.file_bytes() <= map_bytes_max_for(asked) or used > asked:
            return
        if self._free_disk_bytes() < used + used // 4 + FREE_DISK_RESERVE_BYTES:
            return
        try:
            store.compact(map_bytes=map_bytes_for(asked))
        except StoreError as error:
            self._condition.note_refusal(error)
        except OSError:
            self._condition.disk_full_count += 1

    def _free_disk_bytes(self) -> int:
        try:
            return shutil.disk_usage(self._folder.path).free
        except OSError:
            return 0

    def _evict(self, count_max: int) -> tuple[int, int]:
        return self._evictor.evict(
            bytes_above_low_watermark(
                used_bytes=self._ledger.used_bytes, limit_bytes=self._condition.limit_bytes
            ),
            count_max=max(count_max, 0),
        )

    def _reclaim(self, count_max: int) -> tuple[int, bool]:
        """Forget values of dropped views; return how many, and whether none is left."""
        reclaimed = 0
        try:
            numbers = self._ledger.view_numbers()
        except StoreError:
            return 0, True
        for number in numbers:
            while self._views.name_of(number) is None:
                batch = min(WRITE_COUNT_MAX, count_max - reclaimed)
                if batch <= 0:
                    return reclaimed, False
                count = self._writer.reclaim(number, batch)
                if count is None:
                    return reclaimed, True
                reclaimed += count
                if count < batch:
                    break
        return reclaimed, True
