"""Hands out blocks, streamed in the order asked: one batch is sent while the next one is loaded.

A chunk that cannot be handed out (unknown, damaged, not the caller's) is a frame with an error and
fails no other. Bytes that do not authenticate are never sent.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from sqlalchemy import Connection

from backend_server.blocks.block_store import ObjectFault
from backend_server.blocks.errors import StoreError
from backend_server.blocks.worker_threads import Threads
from backend_server.domain.block_rights import may_read_any_chunk, may_read_revision
from backend_server.domain.caller import Caller
from backend_server.domain.refusals import Refusal
from backend_server.metadata.block_rows import ChunkPlace, load_places
from backend_server.metadata.database import Database
from backend_server.protocol.blocks import BlockMalformed, decode_block, encode_delta
from backend_server.protocol.encoding import encode
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.frames import frame_prefix, joined
from backend_server.protocol.identity import (
    DIGEST_BYTES,
    ChunkId,
    DriveId,
    NodeId,
    RevisionId,
)
from backend_server.protocol.limits import FETCH_BYTES_MAX, FETCH_CHUNKS_MAX, KIB, MIB
from backend_server.protocol.transfer_messages import BlockHeader, FetchRequest
from backend_server.services.authorize import authorize_drive
from backend_server.services.slots import Slots
from backend_server.services.vault import Vault

_PIECE_BYTES: Final = 512 * KIB
"""What is sent in one go, about: each piece passes all layers of the application."""
BATCH_BYTES: Final = 2 * MIB
"""What is read, opened and held together. Two batches of an answer are held at a time."""
SENDING_MAX: Final = 64
"""Answers that are sent at once: with their two batches at most 512 MiB, deltas included."""
SENDING_WAIT_S_MAX: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One chunk of the answer. `place` is None if it is not stored, `have` if nobody has it."""

    chunk_id: ChunkId
    error: str
    place: ChunkPlace | None
    have: ChunkPlace | None


class BlockSender:
    """One answer that is ready to be sent."""

    def __init__(
        self,
        batches: Sequence[Sequence[_Wanted]],
        load: Callable[[Sequence[_Wanted]], Awaitable[list[bytes]]],
        slots: Slots,
    ) -> None:
        self._batches = batches
        self._load = load
        self._slots = slots

    async def send(self, emit: Callable[[bytes], Awaitable[None]]) -> None:
        """Call `emit` with the frames, in the order asked, in pieces of about _PIECE_BYTES.

        Raises:
            Refusal: BUSY, before the first frame.
        """
        async with self._slots.hold(), anyio.create_task_group() as tasks:
            # No buffer: the loader holds the next batch while this one is emitted.
            loaded, ready = anyio.create_memory_object_stream[list[bytes]](0)
            tasks.start_soon(self._load_all, loaded)
            async with ready:
                async for parts in ready:
                    for piece in joined(parts, bytes_min=_PIECE_BYTES):
                        await emit(piece)

    async def _load_all(self, loaded: MemoryObjectSendStream[list[bytes]]) -> None:
        async with loaded:
            for batch in self._batches:
                await loaded.send(await self._load(batch))


class FetchBlocks:
    """POST blocks/fetch."""

    def __init__(self, database: Database, vault: Vault, *, threads: Threads) -> None:
        self._database = database
        self._vault = vault
        self._threads = threads
        self._slots = Slots(SENDING_MAX, wait_s_max=SENDING_WAIT_S_MAX)

    async def __call__(
        self, caller: Caller, drive_id: DriveId, request: FetchRequest
    ) -> "BlockSender":
        """Return what sends the answer; it refuses, or is refused, before its first frame.

        Raises:
            Refusal: NOT_FOUND, MALFORMED, TOO_LARGE.
        """
        count = sum(len(group.chunks) for group in request.groups)
        if count > FETCH_CHUNKS_MAX:
            raise Refusal(ErrorCode.TOO_LARGE, f"Ask for at most {FETCH_CHUNKS_MAX} chunks.")
        wanted = await self._database.read(
            partial(_load_wanted, caller=caller, drive_id=drive_id, request=request)
        )
        total_bytes = sum(item.place.length for item in wanted if item.place is not None)
        if total_bytes > FETCH_BYTES_MAX and count > 1:
            raise Refusal(ErrorCode.TOO_LARGE, f"Ask for at most {FETCH_BYTES_MAX} bytes.")
        await self._vault.prepare(drive_id)
        load = partial(self._load_batch, drive_id)
        return BlockSender(list(_batches(wanted)), load, self._slots)

    async def _load_batch(self, drive_id: DriveId, batch: Sequence[_Wanted]) -> list[bytes]:
        places = {
            place.chunk_id: place
            for item in batch
            for place in (item.place, item.have)
            if place is not None
        }
        try:
            blocks = await self._vault.load_blocks(drive_id, places.values())
        except StoreError:
            return [_error_frame(item.chunk_id, "unavailable") for item in batch]
        if all(item.have is None for item in batch):
            return _parts(batch, blocks)
        # Deltas cost compression: not on the event loop.
        return await self._threads.run(lambda: _parts(batch, blocks))


def _load_wanted(
    connection: Connection, *, caller: Caller, drive_id: DriveId, request: FetchRequest
) -> list[_Wanted]:
    view = authorize_drive(connection, caller, drive_id)
    ids = [
        ChunkId(chunk_id)
        for group in request.groups
        for chunk in group.chunks
        for chunk_id in (chunk.chunk_id, chunk.have)
        if chunk_id
    ]
    if any(len(chunk_id) != DIGEST_BYTES for chunk_id in ids):
        raise Refusal(ErrorCode.MALFORMED, "A chunk id has 32 bytes.")
    places = load_places(connection, drive_id, ids)
    may_build_on_any = may_read_any_chunk(view)
    wanted: list[_Wanted] = []
    for group in request.groups:
        may_read = may_read_revision(view, NodeId(group.node_id), RevisionId(group.revision))
        for chunk in group.chunks:
            chunk_id = ChunkId(chunk.chunk_id)
            place = places.get(chunk_id) if may_read else None
            have = places.get(ChunkId(chunk.have)) if may_build_on_any and chunk.have else None
            error = "" if place else ("missing" if may_read else "forbidden")
            wanted.append(_Wanted(chunk_id, error, place, have if place else None))
    return wanted


def _batches(wanted: Sequence[_Wanted]) -> Iterator[list[_Wanted]]:
    batch: list[_Wanted] = []
    batch_bytes = 0
    for item in wanted:
        size_bytes = sum(
            place.encoded_size for place in (item.place, item.have) if place is not None
        )
        if batch and batch_bytes + size_bytes > BATCH_BYTES:
            yield batch
            batch, batch_bytes = [], 0
        batch.append(item)
        batch_bytes += size_bytes
    if batch:
        yield batch


def _parts(batch: Sequence[_Wanted], blocks: Mapping[ChunkId, bytes | ObjectFault]) -> list[bytes]:
    """Return prefix and payload of the frame of each chunk, one after the other."""
    return [part for item in batch for part in _frame(item, blocks)]


def _frame(item: _Wanted, blocks: Mapping[ChunkId, bytes | ObjectFault]) -> tuple[bytes, ...]:
    if item.place is None:
        return (_error_frame(item.chunk_id, item.error),)
    block = blocks[item.chunk_id]
    if isinstance(block, ObjectFault):
        return (_error_frame(item.chunk_id, block.value),)
    if item.have is not None:
        base = blocks[item.have.chunk_id]
        delta = None if isinstance(base, ObjectFault) else _delta(block, base)
        if delta is not None:
            header = encode(BlockHeader(item.chunk_id, base=item.have.chunk_id))
            return frame_prefix(header, len(delta)), delta
    return frame_prefix(encode(BlockHeader(item.chunk_id)), len(block)), block


def _delta(block: bytes, base: bytes) -> bytes | None:
    """Return `block` against `base` (both whole blocks) where that saves half of it."""
    try:
        delta = encode_delta(decode_block(block), decode_block(base))
    except BlockMalformed:
        return None
    return delta if len(delta) < len(block) // 2 else None


def _error_frame(chunk_id: ChunkId, error: str) -> bytes:
    return frame_prefix(encode(BlockHeader(chunk_id, error=error)), 0)
