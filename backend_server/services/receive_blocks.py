"""Takes the blocks of an upload: verified, sealed and durable before they are acknowledged.

The order of effects, group by group: a row that expects the chunk and a pin that holds it → the
object, durable → the row names the object → the answer. A crash leaves at most rows that expect,
and objects whose chunk is known. Sending the same blocks again changes nothing and costs nothing.
"""

import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection

from backend_server.blocks.block_store import BlockStore, ObjectId, ObjectRef, SealedObject
from backend_server.blocks.worker_threads import Threads
from backend_server.domain.block_rights import may_read_any_chunk
from backend_server.domain.caller import Caller
from backend_server.domain.receiving import UploadStanding, check_receipt
from backend_server.domain.refusals import Refusal
from backend_server.metadata.block_rows import (
    ArrivingChunk,
    PlacedObject,
    add_received,
    expect_chunks,
    insert_unannounced_upload,
    load_stored_ids,
    load_unannounced_bytes,
    load_upload_progress,
    pin_chunks,
    place_objects,
    refresh_stored,
)
from backend_server.metadata.database import Database
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import UPLOAD_ID_BYTES, ChunkId, DriveId, UploadId
from backend_server.protocol.limits import UPLOAD_LEASE_S
from backend_server.protocol.transfer_messages import BlocksAnswer
from backend_server.services.authorize import authorize_drive
from backend_server.services.block_arrival import (
    Frame,
    VerifiedBlock,
    read_groups,
    verify_and_seal,
)
from backend_server.services.slots import Slots
from backend_server.services.vault import Vault

RECEIVING_MAX: Final = 16
"""Bodies that are taken at once. Each holds up to three groups' worth: as it came, sealed, and the
next one arriving."""
RECEIVING_WAIT_S_MAX: Final = 10.0
_GENERATION_BITS = 62
_LEASE_MS = round(UPLOAD_LEASE_S * 1000)


@dataclass(frozen=True, slots=True)
class _Sender:
    caller: Caller
    drive_id: DriveId
    upload_id: UploadId


class ReceiveBlocks:
    """POST blocks."""

    def __init__(
        self,
        database: Database,
        store: BlockStore,
        vault: Vault,
        *,
        threads: Threads,
        clock_ms: Callable[[], int],
    ) -> None:
        self._database = database
        self._store = store
        self._vault = vault
        self._threads = threads
        self._clock_ms = clock_ms
        self._slots = Slots(RECEIVING_MAX, wait_s_max=RECEIVING_WAIT_S_MAX)

    async def __call__(
        self,
        caller: Caller,
        drive_id: DriveId,
        upload_id: UploadId,
        body: AsyncGenerator[bytes, None],
    ) -> BlocksAnswer:
        """Return how many blocks of `body` are durable now, those known before included.

        Closes `body`.

        Groups that were stored before a refusal stay stored: sending them again is free.

        Raises:
            Refusal: NOT_FOUND, FORBIDDEN, MALFORMED, TOO_LARGE, CHUNK_MISMATCH, BUSY.
            StoreError, MetadataError: The block store or the database failed.
        """
        if len(upload_id) != UPLOAD_ID_BYTES:
            raise Refusal(ErrorCode.MALFORMED, f"An upload id has {UPLOAD_ID_BYTES} bytes.")
        sender = _Sender(caller, drive_id, upload_id)
        view = await self._database.read(
            partial(authorize_drive, caller=caller, drive_id=drive_id, for_change=True)
        )
        await self._vault.prepare(drive_id)
        stored_count = stored_bytes = 0
        async with self._slots.hold(), aclosing(read_groups(body)) as groups:
            async for group in groups:
                if not may_read_any_chunk(view) and any(frame.base for frame in group):
                    raise Refusal(ErrorCode.FORBIDDEN, "You may not build on this drive's chunks.")
                await self._keep(sender, await self._verify(drive_id, group))
                stored_count += len(group)
                stored_bytes += sum(len(frame.block) for frame in group)
        return BlocksAnswer(stored_count, stored_bytes)

    async def _verify(self, drive_id: DriveId, group: Sequence[Frame]) -> list[VerifiedBlock]:
        bases = await self._vault.load_plaintexts(
            drive_id, {frame.base for frame in group if frame.base}
        )
        keys = self._vault.keys_of(drive_id)
        return await self._threads.run(
            lambda: verify_and_seal(group, chunk_key=keys.chunk_key, bases=bases, seal=keys.seal)
        )

    async def _keep(self, sender: _Sender, blocks: Sequence[VerifiedBlock]) -> None:
        generations = {block.chunk_id: secrets.randbits(_GENERATION_BITS) + 1 for block in blocks}
        arriving = [
            ArrivingChunk(block.chunk_id, block.length, generations[block.chunk_id])
            for block in blocks
        ]
        known = await self._database.write(
            partial(_expect, sender=sender, arriving=arriving, now_ms=self._clock_ms()),
            weight_bytes=200 * len(arriving),
        )
        new = [block for block in blocks if block.chunk_id not in known]
        await self._store.put_many(
            [
                SealedObject(
                    ObjectRef(
                        ObjectId(sender.drive_id, block.chunk_id, generations[block.chunk_id]),
                        block.sealed.stored_digest,
                    ),
                    block.sealed.sealed,
                )
                for block in new
            ]
        )
        placed = [
            PlacedObject(
                block.chunk_id,
                block.length,
                generations[block.chunk_id],
                len(block.sealed.sealed),
                block.sealed.key_version,
                block.sealed.stored_digest,
            )
            for block in new
        ]
        kept = await self._database.write(
            partial(
                _place,
                sender=sender,
                placed=placed,
                known=known,
                now_ms=self._clock_ms(),
            ),
            weight_bytes=200 * len(arriving),
        )
        unneeded = [item for item in placed if item.chunk_id not in kept]
        if unneeded:
            # Another upload of the same chunk was quicker; its object is the one with a row.
            await self._store.delete(
                [ObjectId(sender.drive_id, item.chunk_id, item.generation) for item in unneeded]
            )


def _expect(
    connection: Connection, *, sender: _Sender, arriving: Sequence[ArrivingChunk], now_ms: int
) -> set[ChunkId]:
    """Let the upload send `arriving`. Returns those that are stored already."""
    caller, drive_id, upload_id = sender.caller, sender.drive_id, sender.upload_id
    authorize_drive(connection, caller, drive_id, for_change=True)
    chunk_ids = [chunk.chunk_id for chunk in arriving]
    known = load_stored_ids(connection, drive_id, chunk_ids)
    progress = load_upload_progress(connection, drive_id, upload_id)
    if progress is None:
        insert_unannounced_upload(
            connection,
            drive_id,
            upload_id,
            device_id=caller.device_id,
            lease_until_ms=now_ms + _LEASE_MS,
        )
    is_announced = progress is not None and progress.allowed_bytes > 0
    standing = UploadStanding(
        device_id=caller.device_id if progress is None else progress.device_id,
        allowed_bytes=0 if progress is None else progress.allowed_bytes,
        received_bytes=0 if progress is None else progress.received_bytes,
        device_unannounced_bytes=(
            0 if is_announced else load_unannounced_bytes(connection, drive_id, caller.device_id)
        ),
    )
    new_bytes = sum(chunk.length for chunk in arriving if chunk.chunk_id not in known)
    check_receipt(standing, device_id=caller.device_id, new_bytes=new_bytes)
    expect_chunks(
        connection, drive_id, [chunk for chunk in arriving if chunk.chunk_id not in known]
    )
    pin_chunks(connection, drive_id, upload_id, chunk_ids)
    return known


def _place(
    connection: Connection,
    *,
    sender: _Sender,
    placed: Sequence[PlacedObject],
    known: set[ChunkId],
    now_ms: int,
) -> set[ChunkId]:
    """Name the objects in their rows. Returns the chunks whose row names the object given."""
    kept = place_objects(connection, sender.drive_id, placed, now_ms=now_ms)
    refresh_stored(connection, sender.drive_id, sorted(known), now_ms=now_ms)
    add_received(
        connection,
        sender.drive_id,
        sender.upload_id,
        # A try that was broken off may still be storing what the next one sends again: what both
        # bring counts once, or the second would pass what was announced.
        received_bytes=sum(item.length for item in placed if item.chunk_id in kept),
        lease_until_ms=now_ms + _LEASE_MS,
    )
    return kept
