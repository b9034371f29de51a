"""Tells the server what an upload will bring, and learns what it need not bring.

An upload may send what it announced, so every new chunk is announced; while one announcement is
under way the chunks that come up gather for the next. The first also reserves the quota and opens
the lease; only beside it may blocks go out that have no answer yet. Where the answers spare a good
part, chunks are not even encoded before their answer.
"""

from collections.abc import Iterable
from typing import Final

import msgspec
import trio

from backend_server.protocol.identity import ChunkId, DriveId
from backend_server.protocol.limits import UPLOAD_CHUNKS_MAX
from backend_server.protocol.manifests import Entry
from backend_server.protocol.messages import ChunkLength, UploadRequest
from mountfs.transport.api import DriveApi

# An answer that spares every fourth chunk is worth waiting for.
_PAYS_SHARE: Final = 4
# Worth an announcement although nobody waits for it yet: about a body.
_GATHER_CHUNKS: Final = 24


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
        """Wait until `chunk_ids` may be sent. They have been offered."""
        for chunk_id in chunk_ids:
            while chunk_id not in self._answered and (
                self._answered or chunk_id not in self._first
            ):
                await self._wait()

    def close(self) -> None:
        """Let `run` return: everything that was offered has been sent."""
        self._is_closed = True
        self._asked.set()

    async def run(self) -> None:
        """Announce what is offered, until closed. Raises as `DriveApi.announce`."""
        while not self._is_closed:
            if self._is_due():
                await self._announce()
            else:
                await self._asked.wait()
                self._asked = trio.Event()

    def _is_due(self) -> bool:
        count = len(self._offered)
        is_first = not self._answered
        return count > 0 and (is_first or self._waiting_count > 0 or count >= _GATHER_CHUNKS)

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
        if not self._answered:
            self._first = frozenset(ChunkId(chunk.chunk_id) for chunk in chunks)
            self._signal()
        answer = await self._api.announce(
            self._drive_id, msgspec.structs.replace(self._request, chunks=chunks)
        )
        missing = set(answer.missing)
        present = [chunk.chunk_id for nth, chunk in enumerate(chunks) if nth not in missing]
        self._present.update(map(ChunkId, present))
        self._waits = len(present) * _PAYS_SHARE >= len(chunks)
        self._answered.update(ChunkId(chunk.chunk_id) for chunk in chunks)
        self._signal()

    def _signal(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
