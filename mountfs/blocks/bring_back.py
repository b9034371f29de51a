"""What the server lost and this device still has goes back to it, by itself.

A disk rots and the administrator's check finds it; nobody needs to know who has a copy. Asked is at
start, whenever the server is back (a repair stops it), and every ASK_EVERY_S. One page of the
answer and one body are held at a time, and one body is on its way: programs do not notice.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

import trio

from backend_server.protocol.account_messages import DriveInfo
from backend_server.protocol.identity import ChunkId, DriveId, UploadId, chunk_id_of
from backend_server.protocol.limits import MIB
from backend_server.protocol.transfer_messages import ChunkLength, LostBlock, UploadRequest
from mountfs.blocks.encoder import Encoded, encode_chunk
from mountfs.blocks.lost_chunks import KNOWN_MAX, LostChunks
from mountfs.blocks.store import ChunkStore
from mountfs.blocks.workers import Workers
from mountfs.errors import MountError
from mountfs.transport.api import DriveApi

_LOG = logging.getLogger(__name__)

ASK_EVERY_S: Final = 3600.0
BODY_BYTES: Final = 2 * MIB
_PAGES_MAX: Final = 10_000
"""A server that never comes to an end is left until the next time."""


class BringBack:
    """One drive's. `run` must run in a task.

    Args:
        lost: Is told what the server lost, for uploads to know.
    """

    def __init__(
        self,
        api: DriveApi,
        store: ChunkStore,
        workers: Workers,
        drive: DriveInfo,
        lost: LostChunks,
        *,
        new_upload_id: Callable[[], UploadId],
    ) -> None:
        self._api = api
        self._store = store
        self._workers = workers
        self._drive_id = DriveId(drive.drive_id)
        self._chunk_key = drive.chunk_key
        self._lost = lost
        self._new_upload_id = new_upload_id
        self._asked = trio.Event()

    def try_again(self) -> None:
        """The server can be reached again. Never blocks."""
        self._asked.set()

    async def run(self) -> None:
        """Ask and bring back until cancelled. What fails is tried the next time."""
        while True:
            with trio.move_on_after(ASK_EVERY_S):
                await self._asked.wait()
            self._asked = trio.Event()
            try:
                count = await self._bring_all()
            except MountError as error:
                _LOG.debug("what the server lost could not be brought back: %s", error)
            else:
                if count:
                    _LOG.info("brought back %d chunks that the server had lost", count)

    async def _bring_all(self) -> int:
        """Returns how many chunks the server has again."""
        lost: set[ChunkId] = set()
        brought: set[ChunkId] = set()
        after = ""
        for _ in range(_PAGES_MAX):
            page = await self._api.lost_blocks(self._drive_id, after)
            ids = {ChunkId(block.chunk_id) for block in page.blocks}
            if len(lost) < KNOWN_MAX:
                lost |= ids
                self._lost.replace(lost - brought)
            lacking = self._store.lacking(self._drive_id, ids)
            here = [block for block in page.blocks if block.chunk_id not in lacking]
            if here:
                brought |= await self._bring(here)
                self._lost.found(brought)
            after = page.after
            if not after:
                break
        return len(brought)

    async def _bring(self, blocks: Sequence[LostBlock]) -> set[ChunkId]:
        """Send what the server still lacks of one page; returns what it has again."""
        upload_id = self._new_upload_id()
        request = UploadRequest(
            upload_id=upload_id,
            node_id=blocks[0].node_id,
            base_revision=blocks[0].revision,
            growth_bytes=0,
            chunks=[ChunkLength(block.chunk_id, block.length) for block in blocks],
        )
        answer = await self._api.announce(self._drive_id, request)
        brought: set[ChunkId] = set()
        body: list[tuple[ChunkId, bytes]] = []
        body_bytes = 0
        for index in answer.missing:
            chunk_id = ChunkId(blocks[index].chunk_id)
            plaintext = self._store.get(self._drive_id, chunk_id)
            if plaintext is None:
                continue  # Gone from the cache since.
            body.append((chunk_id, plaintext))
            body_bytes += len(plaintext)
            if body_bytes >= BODY_BYTES:
                brought |= await self._send(upload_id, body)
                body, body_bytes = [], 0
        if body:
            brought |= await self._send(upload_id, body)
        return brought

    async def _send(
        self, upload_id: UploadId, body: Sequence[tuple[ChunkId, bytes]]
    ) -> set[ChunkId]:
        blocks = await self._workers.run(_encoded, tuple(body), self._chunk_key)
        if blocks:
            await self._api.send_blocks(
                self._drive_id, upload_id, [(each.header, each.block) for each in blocks]
            )
        return {ChunkId(each.header.chunk_id) for each in blocks}


def _encoded(body: Sequence[tuple[ChunkId, bytes]], chunk_key: bytes) -> list[Encoded]:
    """Return the blocks of those chunks that are what their ids say. Pure.

    One that is not would have the server refuse the others with it.
    """
    return [
        encode_chunk(chunk_id, plaintext, None)
        for chunk_id, plaintext in body
        if chunk_id_of(plaintext, chunk_key=chunk_key) == chunk_id
    ]
