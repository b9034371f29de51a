"""Files among the blocks that no row knows.

Of an upload on its way the row comes first, but a second upload of the same chunk writes its own
generation there: so what is young is left alone, and looked at the next time.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from backend_server.blocks.block_store import ObjectId
from backend_server.blocks.folder_inspection import FoundFile
from backend_server.domain.check_blocks import Opening, returned_block
from backend_server.domain.findings import Finding, FindingKind
from backend_server.maintenance.check.blocks import examine, placed_object
from backend_server.maintenance.check.surroundings import Surroundings
from backend_server.metadata.block_check_rows import load_generations
from backend_server.metadata.block_rows import place_objects
from backend_server.metadata.lost_rows import load_lost_among
from backend_server.protocol.identity import DriveId
from backend_server.protocol.limits import UPLOAD_LEASE_S
from backend_server.services.drive_keys import DriveKeys

GRACE_S: Final = 2 * UPLOAD_LEASE_S
"""An upload that is older has ended one way or the other."""
assert GRACE_S > UPLOAD_LEASE_S
_FILES_AT_ONCE: Final = 1000


async def check_files(around: Surroundings, drive_id: DriveId, keys: DriveKeys | None) -> None:
    """Look for files of a drive that are nobody's. A repair removes objects and moves others."""
    for files in around.folder.list_files(drive_id):
        for start in range(0, len(files), _FILES_AT_ONCE):
            some = files[start : start + _FILES_AT_ONCE]
            await _check_some(around, drive_id, keys, some)
            around.progress.advance(len(some))


def check_unknown_drives(around: Surroundings, known: Sequence[DriveId]) -> None:
    """Look for folders of drives that the database does not know; they are never touched."""
    for drive_id in around.folder.list_drives():
        if drive_id not in known:
            sentence = f"There are blocks of {drive_id}, which the database does not know."
            around.report.add(
                Finding(FindingKind.DRIVE_UNKNOWN, drive_id, drive_id, sentence, False)
            )


async def _check_some(
    around: Surroundings, drive_id: DriveId, keys: DriveKeys | None, files: Sequence[FoundFile]
) -> None:
    is_repairing = around.options.is_repairing
    for file in files:
        if file.object_id is None:
            sentence = f"The file {file.path} is none of the server's."
            finding = Finding(FindingKind.FOREIGN_FILE, drive_id, str(file.path), sentence, True)
            if is_repairing:
                around.folder.move_aside(file.path, drive_id)
            around.report.add(finding, is_repaired=is_repairing)
    objects = {file.object_id: file for file in files if file.object_id is not None}
    generations = await around.database.read(
        partial(
            load_generations,
            drive_id=drive_id,
            chunk_ids=list({object_id.chunk_id for object_id in objects}),
        )
    )
    orphans = [each for each in objects if generations.get(each.chunk_id) != each.generation]
    if not orphans:
        return
    lost = await around.database.read(
        partial(load_lost_among, drive_id=drive_id, chunk_ids=[each.chunk_id for each in orphans])
    )
    young_from_s = around.clock_ms() / 1000 - GRACE_S
    for orphan in orphans:
        if orphan.chunk_id in lost and await _is_wanted(around, keys, orphan):
            continue
        if objects[orphan].modified_at_s > young_from_s:
            around.report.young_count += 1
            continue
        subject = f"{orphan.chunk_id.hex()}.{orphan.generation}"
        sentence = f"The object {subject} belongs to no chunk."
        finding = Finding(FindingKind.ORPHAN_OBJECT, drive_id, subject, sentence, True)
        if is_repairing:
            around.folder.remove([orphan])
        around.report.add(finding, is_repaired=is_repairing)


async def _is_wanted(around: Surroundings, keys: DriveKeys | None, orphan: ObjectId) -> bool:
    """Whether an object that nobody claims may be a chunk that was lost; a repair claims it."""
    if keys is None:
        return True  # Cannot be told now.
    sealed = around.folder.read(orphan)
    if sealed is None:
        return False
    found = examine(keys, orphan.chunk_id, sealed)
    fault = returned_block(orphan.drive_id, orphan.chunk_id, found)
    if fault is None or found.opening is not Opening.GOOD:
        return False
    if around.options.is_repairing:
        await around.database.write(
            partial(
                place_objects,
                drive_id=orphan.drive_id,
                placed=[placed_object(around, orphan, found)],
                now_ms=around.clock_ms(),
            )
        )
    around.report.add(fault.finding, is_repaired=around.options.is_repairing)
    return True
