"""The one writer of the cache: a bounded queue, and one worker at a time that empties it.

Readers are answered before the cache has what they read. A chunk in the queue is found there
(`waiting`), so it is never fetched again meanwhile. Whoever puts faster than the disk takes, waits.
"""

from collections import deque
from typing import Final, NamedTuple

import trio

from backend_server.protocol.identity import ChunkId, DriveId
from backend_server.protocol.limits import MIB
from cache import ChunkCache
from mountfs.blocks.workers import Workers

QUEUE_BYTES_MAX: Final = 16 * MIB
_BATCH_BYTES_MAX: Final = 4 * MIB
_BATCH_COUNT_MAX: Final = 512


class _Chunk(NamedTuple):
    drive_id: DriveId
    chunk_id: ChunkId
    plaintext: bytes


class _Value(NamedTuple):
    drive_id: DriveId
    key: bytes
    value: bytes


class CacheWriter:
    """Puts chunks and values into `cache`, in the order they came. `run` must run in a task."""

    def __init__(self, cache: ChunkCache, workers: Workers) -> None:
        self._cache = cache
        self._workers = workers
        self._queue: deque[_Chunk | _Value] = deque()
        self._queue_bytes = 0
        self._waiting: dict[tuple[DriveId, ChunkId], bytes] = {}
        self._changed = trio.Event()

    def waiting(self, drive_id: DriveId, chunk_id: ChunkId) -> bytes | None:
        """Return a chunk that is not in the cache yet, None if it is not here."""
        return self._waiting.get((drive_id, chunk_id))

    async def put(self, drive_id: DriveId, chunk_id: ChunkId, plaintext: bytes) -> None:
        """Keep a chunk; waits while the queue is full. Checkpoint when it is."""
        while self._queue_bytes >= QUEUE_BYTES_MAX:
            await self._changed.wait()
        if (drive_id, chunk_id) in self._waiting:
            return
        self._waiting[drive_id, chunk_id] = plaintext
        self._append(_Chunk(drive_id, chunk_id, plaintext), len(plaintext))

    def put_value_nowait(self, drive_id: DriveId, key: bytes, value: bytes) -> None:
        """Keep a small value; dropped when the queue is full, as a cache may."""
        if self._queue_bytes < QUEUE_BYTES_MAX:
            self._append(_Value(drive_id, key, value), len(value))

    async def drain(self) -> None:
        """Wait until everything put so far is in the cache."""
        while self._queue:
            await self._changed.wait()

    async def run(self) -> None:
        """Write until cancelled. What is queued then is lost to the cache, and to nobody else."""
        while True:
            while not self._queue:
                await self._changed.wait()
            batch = self._next_batch()
            await self._workers.run(self._write, batch)
            # No await below until the end of the round: queue and `waiting` change together.
            for item in batch:
                self._queue.popleft()
                if isinstance(item, _Chunk):
                    del self._waiting[item.drive_id, item.chunk_id]
                    self._queue_bytes -= len(item.plaintext)
                else:
                    self._queue_bytes -= len(item.value)
            self._signal()

    def _append(self, item: _Chunk | _Value, size_bytes: int) -> None:
        self._queue.append(item)
        self._queue_bytes += size_bytes
        self._signal()

    def _signal(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _next_batch(self) -> list[_Chunk | _Value]:
        batch: list[_Chunk | _Value] = []
        size_bytes = 0
        for item in self._queue:
            if len(batch) == _BATCH_COUNT_MAX or size_bytes >= _BATCH_BYTES_MAX:
                break
            batch.append(item)
            size_bytes += len(item.plaintext if isinstance(item, _Chunk) else item.value)
        return batch

    def _write(self, batch: list[_Chunk | _Value]) -> None:
        chunks: dict[DriveId, list[tuple[bytes, bytes]]] = {}
        for item in batch:
            if isinstance(item, _Chunk):
                chunks.setdefault(item.drive_id, []).append((item.chunk_id, item.plaintext))
            else:
                self._cache.put_value(item.drive_id, item.key, item.value)
        for drive_id, pairs in chunks.items():
            self._cache.put_many(drive_id, pairs)
