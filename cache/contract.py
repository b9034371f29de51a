"""What a cache of chunks promises, and the values it speaks in.

`BlockCache` keeps it on disk, `MemoryCache` in memory; one suite of tests runs over both.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

UPKEEP_COUNT_MAX: Final = 16 * 1024
"""Rows that one upkeep touches unless told otherwise: about 0.1 s of work."""


class Opening(StrEnum):
    """What an opening found, and so what the cache begins with."""

    NEW = "new"
    RESUMED = "resumed"
    RESUMED_AFTER_CRASH = "resumed_after_crash"
    """The last process died; what it had committed is here."""
    EMPTIED_MACHINE_STOP = "emptied_machine_stop"
    """The machine stopped while the cache was open: nothing in it could be trusted."""
    EMPTIED_OTHER_KEY = "emptied_other_key"
    """Sealed under another device key: nothing in it could be read."""
    EMPTIED_OTHER_FORMAT = "emptied_other_format"
    EMPTIED_DAMAGED = "emptied_damaged"
    """The database file is not whole."""
    EMPTIED_CRASH_LOOP = "emptied_crash_loop"
    """Process after process died soon after opening it: the cache is the likeliest reason."""

    @property
    def was_emptied(self) -> bool:
        """Whether something was there and was thrown away. Pins went with it."""
        return self.name.startswith("EMPTIED")


@dataclass(frozen=True, slots=True)
class CacheStats:
    """The cache in numbers. Counts are since opening; sizes are now.

    `used_bytes` is what the values take on disk, sealed, with their share of the tables.
    `limit_bytes` is the limit in force: below what was asked for while the disk is full.
    """

    used_bytes: int
    pinned_bytes: int
    value_count: int
    limit_bytes: int
    file_bytes: int
    hit_count: int
    miss_count: int
    damaged_count: int
    refused_count: int
    """Values that found no place: the disk is full, or all else is pinned or in use."""
    disk_full_count: int


@dataclass(frozen=True, slots=True)
class UpkeepReport:
    """What one upkeep did. `is_done` False: call again soon, there is more."""

    recency_written_count: int = 0
    evicted_count: int = 0
    evicted_bytes: int = 0
    reclaimed_count: int = 0
    damaged_removed_count: int = 0
    is_done: bool = True


class ChunkCache(Protocol):
    """Chunks and small values by view and id. Forgets the oldest when it is full.

    Ids of chunks and keys of values are bytes, 1-255 long; a chunk never changes under its id. View
    names are at most 400 bytes of UTF-8. What comes back is what was put, or nothing.

    Threads: `get`, `read`, `get_value`, `contains_many`, `hold`, `release`, `in_use`, `stats` and
    `set_limit_bytes` may be called from any thread, inline, and take microseconds. Everything else
    writes to disk and may wait for it: call it from a worker thread (any; they take turns).
    """

    @property
    def opening(self) -> Opening:
        """What the opening found."""

    def get(self, view: str, chunk_id: bytes) -> bytes | None:
        """Return the whole chunk, None if it is not here."""

    def read(self, view: str, chunk_id: bytes, offset: int, length: int) -> bytes | None:
        """Return `chunk[offset : offset + length]` (shorter at the end), None if it is not here.

        Opens only what the range touches. `offset` and `length` are at least 0.
        """

    def contains_many(self, view: str, chunk_ids: Iterable[bytes]) -> set[bytes]:
        """Return those of `chunk_ids` that are here. Does not count as use."""

    def put_many(self, view: str, chunks: Iterable[tuple[bytes, bytes]]) -> int:
        """Keep (chunk id, plaintext) pairs; return how many of them found a place.

        A chunk that is here already is used, not written. Evicts to make room, for at least 8 MiB
        of `chunks` at a time, never for one by dropping another of the same 8 MiB. Never fails:
        what finds no place is counted and dropped. Each chunk is kept whole or not at all. Survives
        the process, not the machine.
        """

    def remove_many(self, view: str, chunk_ids: Iterable[bytes]) -> int:
        """Forget chunks, also pinned ones (their pins stay); return how many were here."""

    def get_value(self, view: str, key: bytes) -> bytes | None:
        """Return the value put last under `key`, None if it is not here."""

    def put_value(self, view: str, key: bytes, value: bytes) -> bool:
        """Keep a small value, replacing what `key` had; whether it is here now.

        Sealed, counted and evicted like a chunk. `key` itself is stored in the clear.
        """

    def drop_view(self, view: str) -> None:
        """Make everything of `view` unreadable, for good. Durable on return.

        Its key is destroyed at once; its space comes back in later upkeeps.

        Raises:
            KeyNotDestroyed: Unreadable here and now, but the disk would not forget the key.
        """

    def pin(self, view: str, chunk_ids: Iterable[bytes]) -> bool:
        """Keep chunks from eviction, also those that come later. Counted; kept over restarts.

        Whether it is so: False after a full disk, and some or all of the pins are not kept.
        """

    def unpin(self, view: str, chunk_ids: Iterable[bytes]) -> bool:
        """Take back one `pin` of each chunk; whether that is kept. Without one: nothing to do."""

    def hold(self, view: str, chunk_ids: Iterable[bytes]) -> None:
        """Keep chunks from eviction while somebody reads them. Counted; forgotten at close.

        A chunk that is held and was seen here stays until `release`.
        """

    def release(self, view: str, chunk_ids: Iterable[bytes]) -> None:
        """Take back one `hold` of each chunk."""

    def in_use(self, view: str, chunk_ids: Iterable[bytes]) -> AbstractContextManager[None]:
        """Hold chunks for the length of a block."""

    def maintain(self, *, count_max: int = UPKEEP_COUNT_MAX) -> UpkeepReport:
        """Do a bounded piece of upkeep: call it every half minute, and again if not done.

        Writes recency, removes damage, evicts to the low watermark, reclaims dropped views, and
        looks whether a full disk has room again.
        """

    def set_limit_bytes(self, limit_bytes: int) -> None:
        """Change the limit. A lower one takes effect in the next upkeeps; a much lower one also
        gives disk space back, by copying what is left."""

    def stats(self) -> CacheStats:
        """Return the cache in numbers."""

    def sync(self) -> None:
        """Make everything kept so far durable, as far as the disk lets us."""

    def close(self) -> None:
        """Write recency, sync, and mark the stop as clean. Idempotent. Afterwards all misses."""
