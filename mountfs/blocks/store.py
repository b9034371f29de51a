"""Chunks on this device: decoded in memory, on their way to the cache, in the cache.

The view of a drive is the cache's view of the same name. Chunks are immutable: what is found under
an id is right, wherever it was found.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from backend_server.protocol.identity import ChunkId, DriveId
from backend_server.protocol.limits import KIB, MIB
from backend_server.protocol.manifests import Entry
from cache import ChunkCache
from mountfs.blocks.cache_writer import CacheWriter
from mountfs.blocks.workers import ThreadWorkers, Workers
from mountfs.errors import Corruption

MEMORY_BYTES_MAX: Final = 32 * MIB
# A smaller part of a chunk is cheaper to open alone than the whole chunk is.
_PART_BYTES_MAX: Final = 96 * KIB


class ChunkStore:
    """What this device has of chunks. Reading never waits; `run` must run in a task."""

    def __init__(
        self,
        cache: ChunkCache,
        *,
        workers: Workers | None = None,
        memory_bytes_max: int = MEMORY_BYTES_MAX,
    ) -> None:
        self._cache = cache
        self._writer = CacheWriter(cache, workers or ThreadWorkers(1))
        self._memory: OrderedDict[tuple[DriveId, ChunkId], bytes] = OrderedDict()
        self._memory_bytes = 0
        self._memory_bytes_max = memory_bytes_max

    async def run(self) -> None:
        """Write what is put into the cache, until cancelled."""
        await self._writer.run()

    async def drain(self) -> None:
        """Wait until everything put so far is in the cache."""
        await self._writer.drain()

    def get(self, drive_id: DriveId, chunk_id: ChunkId) -> bytes | None:
        """Return the whole chunk, None if it is not here; remembers it decoded."""
        found = self._at_hand(drive_id, chunk_id)
        if found is None:
            found = self._cache.get(drive_id, chunk_id)
            if found is not None:
                self.remember(drive_id, chunk_id, found)
        return found

    def read(
        self, drive_id: DriveId, entry: Entry, within: int, length: int, *, whole: bool
    ) -> bytes | memoryview | None:
        """Return `length` bytes of a chunk from `within`, None if it is not here.

        `whole`: the rest of the chunk will be wanted too, so open all of it at once.

        Raises:
            Corruption: The chunk is not as long as `entry` says.
        """
        chunk_id = entry.chunk_id
        found = self._at_hand(drive_id, chunk_id)
        if found is None:
            if not whole and length <= _PART_BYTES_MAX and 2 * length <= entry.length:
                return self._cache.read(drive_id, chunk_id, within, length)
            found = self._cache.get(drive_id, chunk_id)
            if found is None:
                return None
            self.remember(drive_id, chunk_id, found)
        if len(found) != entry.length:
            raise Corruption("a chunk that is not as long as its manifest says")
        if length == len(found):
            return found
        return memoryview(found)[within : within + length]

    def lacking(self, drive_id: DriveId, chunk_ids: Iterable[ChunkId]) -> set[ChunkId]:
        """Return those of `chunk_ids` that are not here. Does not count as use."""
        asked = {
            chunk_id
            for chunk_id in chunk_ids
            if (drive_id, chunk_id) not in self._memory
            and self._writer.waiting(drive_id, chunk_id) is None
        }
        # No pointless visit to the database when everything is in memory.
        return asked - self._cache.contains_many(drive_id, asked) if asked else asked

    async def hold(self, drive_id: DriveId, chunk_ids: Iterable[ChunkId]) -> bool:
        """Keep chunks from eviction until `release`; whether all of them are in the cache. If not,
        none is held. Counted; forgotten when the process ends."""
        held = tuple(chunk_ids)
        await self.drain()  # what is not in the cache yet cannot be held there
        self._cache.hold(drive_id, held)
        if len(self._cache.contains_many(drive_id, held)) == len(set(held)):
            return True
        self._cache.release(drive_id, held)
        return False

    def release(self, drive_id: DriveId, chunk_ids: Iterable[ChunkId]) -> None:
        """Take back one `hold` of each chunk."""
        self._cache.release(drive_id, chunk_ids)

    async def put(self, drive_id: DriveId, chunk_id: ChunkId, plaintext: bytes) -> None:
        """Keep a chunk on this device; waits while the cache's writer is behind."""
        await self._writer.put(drive_id, chunk_id, plaintext)

    def remember(self, drive_id: DriveId, chunk_id: ChunkId, plaintext: bytes) -> None:
        """Keep a decoded chunk in memory, in place of the ones longest unused."""
        key = (drive_id, chunk_id)
        if key in self._memory:
            return
        self._memory[key] = plaintext
        self._memory_bytes += len(plaintext)
        while self._memory_bytes > self._memory_bytes_max:
            _, oldest = self._memory.popitem(last=False)
            self._memory_bytes -= len(oldest)

    def get_value(self, drive_id: DriveId, key: bytes) -> bytes | None:
        """Return a small value from the cache, None if it is not there."""
        return self._cache.get_value(drive_id, key)

    def put_value_nowait(self, drive_id: DriveId, key: bytes, value: bytes) -> None:
        """Keep a small value in the cache, soon; a cache may also forget it."""
        self._writer.put_value_nowait(drive_id, key, value)

    def _at_hand(self, drive_id: DriveId, chunk_id: ChunkId) -> bytes | None:
        key = (drive_id, chunk_id)
        found = self._memory.get(key)
        if found is not None:
            self._memory.move_to_end(key)
            return found
        return self._writer.waiting(drive_id, chunk_id)
