"""One upload: cut, encode, announce and send, side by side and with bounded memory.

    builder ──1 window──► encoder ──1 body──► BODIES_MAX senders ──► cache
                  └─► announcer: what the drive has is not sent

The first body leaves with the first window, the others when they are full. Held at once, at most:
three windows, and one body more than there are senders.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import trio

from backend_server.protocol.identity import ChunkId, DriveId, UploadId
from backend_server.protocol.limits import BLOCKS_BODY_BYTES_MAX, MIB
from backend_server.protocol.manifests import Entry
from mountfs.blocks.announcer import Announcer
from mountfs.blocks.builder import ContentBuilder, NewChunk, Window
from mountfs.blocks.delta_choice import DeltaChoice
from mountfs.blocks.encoder import DeltaLuck, Encoded, SendStats, encode_chunks, encode_whole
from mountfs.blocks.store import ChunkStore
from mountfs.blocks.workers import Workers
from mountfs.errors import Corruption, MountError, RequestRefused
from mountfs.transport.api import DriveApi

BODIES_MAX: Final = 3
BODY_BYTES: Final = 5 * MIB
RETRY_BODY_BYTES: Final = 1 * MIB
"""The first body of a retry; each that arrives doubles the next. So an upload gets on over a link
that never lives long enough for a large body."""
assert BODY_BYTES + MIB <= BLOCKS_BODY_BYTES_MAX // 2


class _Wanted(NamedTuple):
    chunk: NewChunk
    delta_base: ChunkId | None


class Upload:
    """Sends the new chunks of one file; `entries` are the file's when `run` returned.

    Args:
        is_known: Whether the drive has a chunk, so that it is not even announced.
    """

    def __init__(
        self,
        api: DriveApi,
        store: ChunkStore,
        workers: Workers,
        builder: ContentBuilder,
        announcer: Announcer,
        delta_choice: DeltaChoice,
        *,
        drive_id: DriveId,
        upload_id: UploadId,
        body_bytes: int,
        is_known: Callable[[Sequence[ChunkId]], set[ChunkId]],
    ) -> None:
        self._api = api
        self._store = store
        self._workers = workers
        self._builder = builder
        self._announcer = announcer
        self._delta_choice = delta_choice
        self._drive_id = drive_id
        self._upload_id = upload_id
        self._body_bytes = body_bytes
        self._is_known = is_known
        self._luck = DeltaLuck()
        self._has_sent = False
        self._seen: set[ChunkId] = set()
        self.entries: list[Entry] = []
        self.stats = SendStats()
        self.is_used = False
        """Whether something was sent or announced under the upload's id."""

    async def run(self) -> None:
        """Send everything; what was sent is durable on return.

        Raises: as `DriveApi` and `ContentReader`; one error, also if several tasks failed.
        """
        first = await self._builder.next_window()
        if first is None:
            return
        try:
            async with trio.open_nursery() as nursery:
                windows_in, windows_out = trio.open_memory_channel[list[_Wanted]](1)
                bodies_in, bodies_out = trio.open_memory_channel[list[Encoded]](0)
                nursery.start_soon(self._announcer.run)
                nursery.start_soon(self._build, first, windows_in)
                nursery.start_soon(self._encode, windows_out, bodies_in)
                async with trio.open_nursery() as senders:
                    for _ in range(BODIES_MAX):
                        senders.start_soon(self._send_bodies, bodies_out)
                self._announcer.close()
        except BaseExceptionGroup as group:
            raise first_error(group) from None

    async def _build(
        self, window: Window | None, windows: trio.MemorySendChannel[list[_Wanted]]
    ) -> None:
        async with windows:
            while window is not None:
                self.entries.extend(window.entries)
                wanted = self._choose(window.chunks)
                if wanted:
                    self.is_used = True
                    self._announcer.offer(one.chunk.entry for one in wanted)
                    await windows.send(wanted)
                window = await self._builder.next_window()

    def _choose(self, chunks: Sequence[NewChunk]) -> list[_Wanted]:
        """Return those of `chunks` that must be sent, with what to make a delta against."""
        known = self._is_known([chunk.entry.chunk_id for chunk in chunks])
        wanted = []
        for chunk, base in zip(chunks, self._delta_choice.choose(chunks), strict=True):
            self.stats.new_bytes += chunk.entry.length
            if chunk.entry.chunk_id in known or chunk.entry.chunk_id in self._seen:
                self.stats.known_bytes += chunk.entry.length
                continue
            self._seen.add(chunk.entry.chunk_id)
            wanted.append(_Wanted(chunk, base))
        return wanted

    async def _encode(
        self,
        windows: trio.MemoryReceiveChannel[list[_Wanted]],
        bodies: trio.MemorySendChannel[list[Encoded]],
    ) -> None:
        body: list[Encoded] = []
        body_bytes = 0
        async with windows, bodies:
            async for wanted in windows:
                await self._announcer.before_encoding(one.chunk.entry.chunk_id for one in wanted)
                for encoded in await self._encoded(wanted):
                    if body_bytes + encoded.block.size_bytes > self._body_bytes + MIB:
                        await bodies.send(body)
                        body, body_bytes = [], 0
                    body.append(encoded)
                    body_bytes += encoded.block.size_bytes
                if body and (body_bytes >= self._body_bytes or not self._has_sent):
                    self._has_sent = True
                    await bodies.send(body)
                    body, body_bytes = [], 0
            if body:
                await bodies.send(body)

    async def _encoded(self, wanted: Sequence[_Wanted]) -> list[Encoded]:
        work = []
        tried = 0
        for chunk, delta_base in wanted:
            if self._is_spared(chunk.entry.chunk_id, chunk.entry.length):
                continue
            base = None
            if delta_base is not None and (chunk.replaces is not None or self._luck.should_try()):
                base = self._delta_choice.at_hand(delta_base)
                tried += base is not None
            work.append((chunk.entry.chunk_id, chunk.plaintext, base))
        encoded = await self._workers.run(encode_chunks, work) if work else []
        self._luck.learn(tried, encoded)
        return encoded

    def _is_spared(self, chunk_id: ChunkId, length: int) -> bool:
        is_present = self._announcer.is_present(chunk_id)
        if is_present:
            self.stats.known_bytes += length
        return is_present

    async def _send_bodies(self, bodies: trio.MemoryReceiveChannel[list[Encoded]]) -> None:
        async for body in bodies:
            await self._announcer.before_sending(ChunkId(one.header.chunk_id) for one in body)
            blocks = [
                one
                for one in body
                if not self._is_spared(ChunkId(one.header.chunk_id), len(one.plaintext))
            ]
            if blocks:
                await self._send(blocks)
                self._body_bytes = min(2 * self._body_bytes, BODY_BYTES)
                for one in blocks:
                    self.stats.count(one)
                    chunk_id = ChunkId(one.header.chunk_id)
                    await self._store.put(self._drive_id, chunk_id, one.plaintext)

    async def _send(self, blocks: Sequence[Encoded]) -> None:
        try:
            await self._api.send_blocks(
                self._drive_id, self._upload_id, [(one.header, one.block) for one in blocks]
            )
        except (RequestRefused, Corruption):
            if not any(one.is_delta for one in blocks):
                raise
            # The server may have lost, or may not let us use, the base of a delta.
            whole = [await self._workers.run(encode_whole, one) for one in blocks]
            await self._api.send_blocks(
                self._drive_id, self._upload_id, [(one.header, one.block) for one in whole]
            )


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return one `MountError` in place of a group of nothing else, or the group. Pure."""
    leaves: list[BaseException] = []
    waiting: list[BaseException] = [group]
    while waiting:
        error = waiting.pop()
        if isinstance(error, BaseExceptionGroup):
            waiting.extend(error.exceptions)
        else:
            leaves.append(error)
    if all(isinstance(leaf, MountError) for leaf in leaves):
        return leaves[0]
    return group
