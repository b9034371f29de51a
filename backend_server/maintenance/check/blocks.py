"""Blocks of a drive, held against their rows and their ids; a repair claims no bad one any more.

The order of a repair, batch by batch: bad bytes into the quarantine, then the rows, then the list
of what is lost.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection

from backend_server.blocks.block_store import ObjectId, stored_digest_of
from backend_server.blocks.folder_inspection import inline_name
from backend_server.domain.check_blocks import (
    BlockFault,
    FoundBlock,
    Opening,
    RecordedBlock,
    Treatment,
    find_block_fault,
    looks_right,
    returned_block,
)
from backend_server.domain.findings import Finding, FindingKind
from backend_server.maintenance.check.losses import Losses
from backend_server.maintenance.check.surroundings import Surroundings
from backend_server.metadata.block_check_rows import (
    CheckedRow,
    load_checked_batch,
    record_block,
)
from backend_server.metadata.block_rows import PlacedObject, mark_unstored, place_objects
from backend_server.protocol.blocks import BlockMalformed, decode_block
from backend_server.protocol.identity import DIGEST_BYTES, ChunkId, DriveId, chunk_id_of
from backend_server.services.drive_keys import (
    DataKeyUnknown,
    DriveKeys,
    SealBroken,
    key_version_of,
)


class _Examined(NamedTuple):
    row: CheckedRow
    found: FoundBlock | None
    fault: BlockFault


async def check_blocks(around: Surroundings, drive_id: DriveId, keys: DriveKeys | None) -> None:
    """Look at every block that the drive's rows claim, and at those it lost that are there again.

    Where the drive's keys cannot be had nothing is repaired: whether row or block is wrong
    could not be told.
    """
    is_repairing = around.options.is_repairing and keys is not None
    losses = Losses(around, drive_id)
    after = b""
    while True:
        rows = await around.database.read(
            partial(load_checked_batch, drive_id=drive_id, after=after)
        )
        if not rows:
            break
        if not around.folder.has_drive(drive_id) and any(row.place == "object" for row in rows):
            sentence = "The folder with the drive's blocks is gone."
            around.report.add(
                Finding(FindingKind.BLOCKS_FOLDER_GONE, drive_id, drive_id, sentence, False)
            )
            return
        examined = [
            each for row in rows if (each := _examine_row(around, drive_id, keys, row)) is not None
        ]
        if is_repairing and examined:
            await _repair(around, drive_id, examined, losses)
        for each in examined:
            is_repaired = is_repairing and each.fault.finding.is_repairable
            around.report.add(each.fault.finding, is_repaired=is_repaired)
        around.progress.advance(len(rows))
        after = rows[-1].chunk_id
    await losses.list_all()


def examine(keys: DriveKeys | None, chunk_id: ChunkId, sealed: bytes) -> FoundBlock:
    """Return what sealed bytes are, opened if there are keys. Pure."""
    digest = stored_digest_of(sealed)
    if keys is None:
        return FoundBlock(len(sealed), digest)
    try:
        plaintext = decode_block(keys.open(chunk_id, sealed))
    except DataKeyUnknown:
        return FoundBlock(len(sealed), digest, Opening.KEY_GONE)
    except (SealBroken, BlockMalformed):
        return FoundBlock(len(sealed), digest, Opening.BROKEN)
    if chunk_id_of(plaintext, chunk_key=keys.chunk_key) != chunk_id:
        return FoundBlock(len(sealed), digest, Opening.BROKEN)
    return FoundBlock(len(sealed), digest, Opening.GOOD, len(plaintext))


def _examine_row(
    around: Surroundings, drive_id: DriveId, keys: DriveKeys | None, row: CheckedRow
) -> _Examined | None:
    recorded = RecordedBlock(row.encoded_size, row.digest or b"", row.length)
    if row.sealed is not None:
        found: FoundBlock | None = examine(keys, row.chunk_id, row.sealed)
    else:
        found = _find_object(around, drive_id, keys, row, recorded)
    fault = (
        returned_block(drive_id, row.chunk_id, found)
        if row.place == "expected"
        else find_block_fault(drive_id, row.chunk_id, recorded, found)
    )
    return None if fault is None else _Examined(row, found, fault)


def _find_object(
    around: Surroundings,
    drive_id: DriveId,
    keys: DriveKeys | None,
    row: CheckedRow,
    recorded: RecordedBlock,
) -> FoundBlock | None:
    object_id = ObjectId(drive_id, row.chunk_id, row.generation)
    if len(row.chunk_id) != DIGEST_BYTES:
        return None  # A row that is no chunk's.
    size_bytes = around.folder.size_of(object_id)
    if size_bytes is None:
        return None
    found = FoundBlock(size_bytes)
    if around.options.is_quick and looks_right(recorded, found):
        return found
    sealed = around.folder.read(object_id)
    if sealed is None:
        # The disk does not give it: as good as other bytes.
        return FoundBlock(size_bytes, b"", Opening.BROKEN)
    return examine(keys, row.chunk_id, sealed)


async def _repair(
    around: Surroundings, drive_id: DriveId, examined: Sequence[_Examined], losses: Losses
) -> None:
    for row, found, fault in examined:
        if fault.treatment is not Treatment.QUARANTINE:
            continue
        if row.sealed is None:
            around.folder.move_object_aside(ObjectId(drive_id, row.chunk_id, row.generation))
        else:
            assert found is not None and found.digest is not None
            name = inline_name(row.chunk_id, found.digest)
            around.folder.keep_aside(drive_id, name, row.sealed)
    returned = [
        placed_object(
            around, ObjectId(drive_id, each.row.chunk_id, each.row.generation), each.found
        )
        for each in examined
        if each.fault.treatment is Treatment.RESTORE and each.found is not None
    ]
    forgotten = [
        each.row.chunk_id
        for each in examined
        if each.fault.treatment in (Treatment.FORGET, Treatment.QUARANTINE)
    ]
    recorded = [each for each in examined if each.fault.treatment is Treatment.RECORD]
    now_ms = around.clock_ms()

    def work(connection: Connection) -> None:
        mark_unstored(connection, drive_id, forgotten)
        place_objects(connection, drive_id, returned, now_ms=now_ms)
        for each in recorded:
            assert each.found is not None and each.found.digest is not None
            record_block(
                connection,
                drive_id,
                each.row.chunk_id,
                length=each.found.length,
                encoded_size=each.found.size_bytes,
                digest=each.found.digest,
            )

    await around.database.write(work)
    await losses.add(forgotten)


def placed_object(around: Surroundings, object_id: ObjectId, found: FoundBlock) -> PlacedObject:
    """Return how the row describes an object that was found to be good."""
    sealed = around.folder.read(object_id)
    assert sealed is not None and found.digest is not None
    return PlacedObject(
        object_id.chunk_id,
        found.length,
        object_id.generation,
        found.size_bytes,
        key_version_of(sealed),
        found.digest,
    )
