"""What readers and writers of an open cache tell each other."""

from dataclasses import dataclass, field
from typing import Final

from cache.contract import CacheStats
from cache.errors import DiskFull, StoreDamaged, StoreError
from cache.holds import Holds
from cache.recency import Touches

DAMAGED_COUNT_MAX: Final = 4096
"""Damaged values remembered until upkeep removes them; further ones are found again when read."""


@dataclass(slots=True)
class Condition:
    """Shared by the parts of one open cache. Every field changes in one step, from any thread.

    `leaving` are the keys that a running transaction evicts: they are a miss already, so that
    nobody sees a chunk, holds it, and loses it.
    """

    asked_limit_bytes: int
    limit_bytes: int
    holds: Holds = field(default_factory=Holds)
    touches: Touches = field(default_factory=Touches)
    leaving: frozenset[bytes] = frozenset()
    damaged: set[bytes] = field(default_factory=set)
    is_broken: bool = False
    is_closed: bool = False
    hit_count: int = 0
    miss_count: int = 0
    damaged_count: int = 0
    refused_count: int = 0
    disk_full_count: int = 0

    @property
    def is_usable(self) -> bool:
        """Whether the database may be asked at all."""
        return not (self.is_broken or self.is_closed)

    def is_gone(self, key: bytes) -> bool:
        """Whether `key` is to be treated as absent, whatever the database says."""
        return key in self.leaving or key in self.damaged

    def note_damaged(self, key: bytes) -> None:
        """Remember that what is stored under `key` does not open."""
        self.damaged_count += 1
        if len(self.damaged) < DAMAGED_COUNT_MAX:
            self.damaged.add(key)

    def note_refusal(self, error: StoreError) -> None:
        """Remember what the database said when it would not do something."""
        if isinstance(error, StoreDamaged):
            self.is_broken = True
        elif isinstance(error, DiskFull):
            self.disk_full_count += 1

    def stats(
        self, *, used_bytes: int, pinned_bytes: int, value_count: int, file_bytes: int
    ) -> CacheStats:
        """Return the whole in numbers."""
        return CacheStats(
            used_bytes=used_bytes,
            pinned_bytes=pinned_bytes,
            value_count=value_count,
            limit_bytes=self.limit_bytes,
            file_bytes=file_bytes,
            hit_count=self.hit_count,
            miss_count=self.miss_count,
            damaged_count=self.damaged_count,
            refused_count=self.refused_count,
            disk_full_count=self.disk_full_count,
        )
