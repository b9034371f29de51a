"""Tells the server what an upload will bring, and learns what it need not bring.

The first announcement reserves the quota and opens the lease; it goes out beside the first body.
Whether further ones are worth their request is told by the answers: where the drive has a good
part of what was announced, every chunk is announced before it is sent; where it has nothing,
announcements become rare and nobody waits for them.
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
_FIRST_SPACING: Final = 16


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
        self._answered: set[ChunkId] = set()
        self._present: set[ChunkId] = set()
        self._spacing = 1
        self._sent_first_body = False
        self._is_closed = False
        self._changed = trio.Event()

    def offer(self, entries: Iterable[Entry]) -> None:
        """Add chunks that will be sent."""
        for entry in entries:
            self._offered[entry.chunk_id] = entry.length
        self._signal()

    def is_present(self, chunk_id: ChunkId) -> bool:
        """Whether the drive is known to have a chunk, and keeps it for this upload."""
        return chunk_id in self._present

    async def before_encoding(self, chunk_ids: Iterable[ChunkId]) -> None:
        """Wait for the answer about `chunk_ids`, if answers pay."""
        for chunk_id in chunk_ids:
            while self._waits and chunk_id not in self._answered and not self._is_closed:
                await self._changed.wait()

    async def before_sending(self) -> None:
        """Wait for the first answer, but let the first body go beside it."""
        if not self._sent_first_body:
            self._sent_first_body = True
            return
        while not self._answered and not self._is_closed:
            await self._changed.wait()

    def close(self) -> None:
        """Let `run` return once what was offered has been announced at least once."""
        self._is_closed = True
        self._signal()

    async def run(self) -> None:
        """Announce until closed. Raises as `DriveApi.announce`."""
        while True:
            while not self._is_due():
                if self._is_closed:
                    return
                await self._changed.wait()
            await self._announce()

    def _is_due(self) -> bool:
        if not self._offered:
            return False
        if not self._answered:
            return True
        return not self._is_closed and (self._waits or len(self._offered) >= self._spacing)

    async def _announce(self) -> None:
        chunks = [
            ChunkLength(chunk_id, length)
            for chunk_id, length in list(self._offered.items())[:UPLOAD_CHUNKS_MAX]
        ]
        for chunk in chunks:
            del self._offered[ChunkId(chunk.chunk_id)]
        answer = await self._api.announce(
            self._drive_id, msgspec.structs.replace(self._request, chunks=chunks)
        )
        missing = set(answer.missing)
        present = [chunk.chunk_id for nth, chunk in enumerate(chunks) if nth not in missing]
        self._present.update(map(ChunkId, present))
        self._waits = len(present) * _PAYS_SHARE >= len(chunks)
        self._spacing = _FIRST_SPACING if not self._answered else 2 * self._spacing
        self._answered.update(ChunkId(chunk.chunk_id) for chunk in chunks)
        self._signal()

    def _signal(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
