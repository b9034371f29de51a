"""A `ChunkCache` in memory: same promises, same sums, nothing survives. For tests of others."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from cache.condition import Condition
from cache.contract import UPKEEP_COUNT_MAX, CacheStats, Opening, UpkeepReport
from cache.eviction import Candidate, bytes_above_low_watermark, plan_eviction
from cache.rows import CHUNK_KIND, VALUE_KIND, charged_bytes_of

_Key: TypeAlias = tuple[str, bytes, bytes]


class MemoryCache:
    """Keeps plaintext in a dictionary, oldest first. Safe to use from any thread."""

    def __init__(self, *, limit_bytes: int) -> None:
        self._condition = Condition(asked_limit_bytes=limit_bytes, limit_bytes=limit_bytes)
        self._values: dict[_Key, bytes] = {}
        self._pins: dict[_Key, int] = {}
        self._lock = threading.RLock()

    @property
    def opening(self) -> Opening:
        """Always NEW."""
        return Opening.NEW

    def get(self, view: str, chunk_id: bytes) -> bytes | None:
        """Return the whole chunk, None if it is not here."""
        return self._get((view, CHUNK_KIND, chunk_id))

    def read(self, view: str, chunk_id: bytes, offset: int, length: int) -> bytes | None:
        """Return `chunk[offset : offset + length]`, None if it is not here."""
        whole = self._get((view, CHUNK_KIND, chunk_id))
        return None if whole is None else whole[offset : offset + length]

    def get_value(self, view: str, key: bytes) -> bytes | None:
        """Return the value put last under `key`, None if it is not here."""
        return self._get((view, VALUE_KIND, key))

    def _get(self, key: _Key) -> bytes | None:
        with self._lock:
            value = self._values.pop(key, None)
            if value is None:
                self._condition.miss_count += 1
                return None
            self._values[key] = value
            self._condition.hit_count += 1
            return value

    def contains_many(self, view: str, chunk_ids: Iterable[bytes]) -> set[bytes]:
        """Return those of `chunk_ids` that are here."""
        with self._lock:
            return {one for one in chunk_ids if (view, CHUNK_KIND, one) in self._values}

    def put_many(self, view: str, chunks: Iterable[tuple[bytes, bytes]]) -> int:
        """Keep (chunk id, plaintext) pairs; return how many of them found a place."""
        with self._lock:
            keyed = {(view, CHUNK_KIND, one): plain for one, plain in chunks}
            here = [key for key in keyed if key in self._values]
            for key in here:
                self._values[key] = self._values.pop(key)
            fresh = {key: plain for key, plain in keyed.items() if key not in self._values}
            return len(here) + self._put(fresh)

    def put_value(self, view: str, key: bytes, value: bytes) -> bool:
        """Keep a small value, replacing what `key` had; whether it is here now."""
        with self._lock:
            return self._put({(view, VALUE_KIND, key): value}) == 1

    def _put(self, entries: dict[_Key, bytes]) -> int:
        incoming = sum(charged_bytes_of(len(plaintext)) for plaintext in entries.values())
        self._evict(incoming, len(self._values))
        kept = 0
        for key, plaintext in entries.items():
            room = self._condition.limit_bytes - self._used_bytes()
            if self._condition.is_closed or charged_bytes_of(len(plaintext)) > room:
                self._condition.refused_count += 1
                continue
            self._values.pop(key, None)
            self._values[key] = plaintext
            kept += 1
        return kept

    def _evict(self, incoming_bytes: int, count_max: int) -> tuple[int, int]:
        plan = plan_eviction(
            (
                Candidate(
                    repr(key).encode(),
                    charged_bytes_of(len(value)),
                    is_pinned=key in self._pins,
                    is_in_use=key[1] == CHUNK_KIND and (key[0], key[2]) in self._condition.holds,
                )
                for key, value in self._values.items()
            ),
            bytes_to_free=bytes_above_low_watermark(
                used_bytes=self._used_bytes(),
                limit_bytes=self._condition.limit_bytes,
                incoming_bytes=incoming_bytes,
            ),
            count_max=count_max,
        )
        leaving = {victim.key for victim in plan.victims}
        self._values = {
            key: value for key, value in self._values.items() if repr(key).encode() not in leaving
        }
        return len(plan.victims), plan.freed_bytes

    def _used_bytes(self) -> int:
        return sum(charged_bytes_of(len(value)) for value in self._values.values())

    def remove_many(self, view: str, chunk_ids: Iterable[bytes]) -> int:
        """Forget chunks, also pinned ones; return how many were here."""
        with self._lock:
            return sum(
                self._values.pop((view, CHUNK_KIND, one), None) is not None for one in chunk_ids
            )

    def drop_view(self, view: str) -> None:
        """Forget everything of `view`, its pins too."""
        with self._lock:
            self._values = {key: one for key, one in self._values.items() if key[0] != view}
            self._pins = {key: count for key, count in self._pins.items() if key[0] != view}

    def pin(self, view: str, chunk_ids: Iterable[bytes]) -> bool:
        """Keep chunks from eviction, also those that come later. Counted."""
        with self._lock:
            for chunk_id in chunk_ids:
                key = (view, CHUNK_KIND, chunk_id)
                self._pins[key] = self._pins.get(key, 0) + 1
        return True

    def unpin(self, view: str, chunk_ids: Iterable[bytes]) -> bool:
        """Take back one `pin` of each chunk; the last one makes it the newest."""
        with self._lock:
            for chunk_id in chunk_ids:
                key = (view, CHUNK_KIND, chunk_id)
                count = self._pins.pop(key, 0)
                if count > 1:
                    self._pins[key] = count - 1
                elif count == 1 and key in self._values:
                    self._values[key] = self._values.pop(key)
        return True

    def hold(self, view: str, chunk_ids: Iterable[bytes]) -> None:
        """Keep chunks from eviction until `release`. Counted."""
        self._condition.holds.hold(view, chunk_ids)

    def release(self, view: str, chunk_ids: Iterable[bytes]) -> None:
        """Take back one `hold` of each chunk."""
        self._condition.holds.release(view, chunk_ids)

    @contextmanager
    def in_use(self, view: str, chunk_ids: Iterable[bytes]) -> Iterator[None]:
        """Hold chunks for the length of a block."""
        held = tuple(chunk_ids)
        self.hold(view, held)
        try:
            yield
        finally:
            self.release(view, held)

    def maintain(self, *, count_max: int = UPKEEP_COUNT_MAX) -> UpkeepReport:
        """Evict to the low watermark, at most `count_max` values."""
        with self._lock:
            evicted_count, evicted_bytes = self._evict(0, count_max)
            return UpkeepReport(
                evicted_count=evicted_count,
                evicted_bytes=evicted_bytes,
                is_done=evicted_count < count_max,
            )

    def set_limit_bytes(self, limit_bytes: int) -> None:
        """Change the limit. A lower one takes effect in the next upkeeps."""
        self._condition.asked_limit_bytes = limit_bytes
        self._condition.limit_bytes = limit_bytes

    def stats(self) -> CacheStats:
        """Return the cache in numbers."""
        with self._lock:
            return self._condition.stats(
                used_bytes=self._used_bytes(),
                pinned_bytes=sum(
                    charged_bytes_of(len(value))
                    for key, value in self._values.items()
                    if key in self._pins
                ),
                value_count=len(self._values),
                file_bytes=0,
            )

    def sync(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Forget everything. Idempotent. Afterwards all misses."""
        with self._lock:
            self._condition.is_closed = True
            self._values.clear()
