"""Tells the server what an upload will bring, and learns what it need not bring.

The first announcement reserves the quota, opens the lease and says how many bytes may come, named
or not. What is asked about waits for its answer. Where answers spare a good part, or come slowly
(the link is what limits, and a chunk spared is time saved), every chunk is asked about. Where they
are quick and spare little, chunks leave unasked and only what has not left is asked about, every
PAUSE_S. (Measured: an announcement of 20 chunks takes the device 0.5 ms of CPU and the server
1.9 ms; one for each body of an upload of 256 MiB was a sixth of what the daemon's loop did.)
"""

import math
from collections.abc import Iterable
from typing import Final

import msgspec
import trio

from backend_server.protocol.identity import ChunkId, DriveId
from backend_server.protocol.limits import UPLOAD_CHUNKS_MAX
from backend_server.protocol.manifests import Entry
from backend_server.protocol.transfer_messages import ChunkLength, UploadRequest
from mountfs.transport.api import DriveApi

# An answer that spares every fourth chunk is worth waiting for.
_PAYS_SHARE: Final = 4
PAUSE_S: Final = 0.1
"""So long chunks gather between announcements that nobody waits for."""
QUICK_S: Final = 0.03
"""An answer within this time leaves the link idle if chunks wait for it. Behind bodies on a link of
100 Mbit/s answers take more than a second."""


class Announcer:
    """The announcements of one upload. `run` must run in a task until `close`.

    Args:
        request: The announcement, without chunks.
        waits: Whether to begin as if dedup paid: right for an upload that is tried again.
    """

    def __init__(
        self, api: DriveApi, drive_id: DriveId, request: UploadRequest, *, waits: bool
    ) -> None:
        self._api = api
        self._drive_id = drive_id
        self._request = request
        self._waits = waits
        self._offered: dict[ChunkId, int] = {}
        self._first: frozenset[ChunkId] = frozenset()
        """Chunks of the first announcement, from when it is under way."""
        self._answered: set[ChunkId] = set()
        self._present: set[ChunkId] = set()
        self._left: set[ChunkId] = set()
        self._asking: frozenset[ChunkId] = frozenset()
        """Chunks of an announcement that is under way."""
        self._is_quick = False
        self._pause_ends_at = 0.0
        self._is_closed = False
        self._waiting_count = 0
        self._asked = trio.Event()
        self._changed = trio.Event()

    def offer(self, entries: Iterable[Entry]) -> None:
        """Add chunks that will be sent."""
        for entry in entries:
            self._offered[entry.chunk_id] = entry.length
        self._asked.set()

    def is_present(self, chunk_id: ChunkId) -> bool:
        """Whether the drive is known to have a chunk, and keeps it for this upload."""
        return chunk_id in self._present

    async def before_encoding(self, chunk_ids: Iterable[ChunkId]) -> None:
        """Wait for the answer about `chunk_ids`, if answers pay. They have been offered."""
        for chunk_id in chunk_ids:
            while self._waits and chunk_id not in self._answered:
                await self._wait()

    async def before_sending(self, chunk_ids: Iterable[ChunkId]) -> None:
        """Wait until `chunk_ids` may leave, and let them. They have been offered."""
        leaving = list(chunk_ids)
        while not all(map(self._may_leave, leaving)):
            await self._wait()
        # No await below: they leave together. Asked for afterwards they would be called present,
        # as if another had brought them.
        self._left.update(leaving)
        for chunk_id in leaving:
            self._offered.pop(chunk_id, None)

    def close(self) -> None:
        """Let `run` return: everything that was offered has been sent."""
        self._is_closed = True
        self._asked.set()

    async def run(self) -> None:
        """Announce what is offered, until closed. Raises as `DriveApi.announce`."""
        while not self._is_closed:
            due_at = self._due_at()
            if due_at <= trio.current_time():
                await self._announce()
            else:
                with trio.move_on_at(due_at):
                    await self._asked.wait()
                    self._asked = trio.Event()

    def _due_at(self) -> float:
        if not self._offered:
            return math.inf
        is_awaited = not self._answered or (self._asks_all and self._waiting_count > 0)
        return -math.inf if is_awaited else self._pause_ends_at

    @property
    def _asks_all(self) -> bool:
        return self._waits or not self._is_quick

    def _may_leave(self, chunk_id: ChunkId) -> bool:
        if not self._answered:
            return chunk_id in self._first
        if chunk_id in self._answered:
            return True
        return not (self._asks_all or chunk_id in self._asking)

    async def _wait(self) -> None:
        self._waiting_count += 1
        self._asked.set()
        try:
            await self._changed.wait()
        finally:
            self._waiting_count -= 1

    async def _announce(self) -> None:
        chunks = [
            ChunkLength(chunk_id, length)
            for chunk_id, length in list(self._offered.items())[:UPLOAD_CHUNKS_MAX]
        ]
        for chunk in chunks:
            del self._offered[ChunkId(chunk.chunk_id)]
        request = msgspec.structs.replace(self._request, chunks=chunks)
        if self._answered:
            request = msgspec.structs.replace(request, new_bytes_max=0)
        else:
            self._first = frozenset(ChunkId(chunk.chunk_id) for chunk in chunks)
            self._signal()
        asked = [ChunkId(chunk.chunk_id) for chunk in chunks]
        self._asking = frozenset(asked)
        asked_at = trio.current_time()
        answer = await self._api.announce(self._drive_id, request)
        self._asking = frozenset()
        self._is_quick = trio.current_time() - asked_at <= QUICK_S
        missing = set(answer.missing)
        stayed = [
            (nth, chunk_id) for nth, chunk_id in enumerate(asked) if chunk_id not in self._left
        ]
        present = [chunk_id for nth, chunk_id in stayed if nth not in missing]
        self._present.update(present)
        self._waits = bool(present) and len(present) * _PAYS_SHARE >= len(stayed)
        self._answered.update(asked)
        self._pause_ends_at = trio.current_time() + PAUSE_S
        self._signal()

    def _signal(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
