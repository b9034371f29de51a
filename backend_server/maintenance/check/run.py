"""All parts of a check, in order: the file, then drive by drive, then what belongs to none."""

from functools import partial

from backend_server.domain.findings import Finding, FindingKind
from backend_server.maintenance.check.blocks import check_blocks
from backend_server.maintenance.check.blocks_folder import check_files, check_unknown_drives
from backend_server.maintenance.check.content import check_content
from backend_server.maintenance.check.counters import check_journal, check_quota
from backend_server.maintenance.check.heads import check_heads
from backend_server.maintenance.check.keys import load_keys
from backend_server.maintenance.check.revisions import check_revisions
from backend_server.maintenance.check.surroundings import Surroundings
from backend_server.maintenance.check.tree import check_tree
from backend_server.metadata.errors import MetadataCorrupt
from backend_server.metadata.integrity import load_integrity_faults
from backend_server.metadata.lost_rows import count_lost
from backend_server.metadata.tree_check_rows import load_drive_ids
from backend_server.protocol.identity import DriveId


async def run_check(around: Surroundings) -> None:
    """Check everything, and repair what can be if `around` says so; see its report.

    Where the database itself is damaged nothing else is looked at, and nothing repaired.

    Raises:
        MetadataError, StoreError: Database or folder could not be used any further.
    """
    try:
        await _check_all(around)
    except MetadataCorrupt as error:
        _found_damage(around, str(error))


async def _check_all(around: Surroundings) -> None:
    around.progress.begin("the database")
    faults = await around.database.read(
        partial(load_integrity_faults, is_quick=around.options.is_quick)
    )
    for fault in faults:
        _found_damage(around, fault)
    if faults:
        return
    drive_ids = await around.database.read(load_drive_ids)
    for drive_id in drive_ids:
        await _check_drive(around, drive_id)
    check_unknown_drives(around, drive_ids)


async def _check_drive(around: Surroundings, drive_id: DriveId) -> None:
    around.progress.begin(f"{drive_id}: journal")
    await check_journal(around, drive_id)
    around.progress.begin(f"{drive_id}: revisions and heads")
    await check_revisions(around, drive_id)
    await check_heads(around, drive_id)
    await check_quota(around, drive_id)
    around.progress.begin(f"{drive_id}: names and nodes")
    await check_tree(around, drive_id)
    keys = await load_keys(around, drive_id)
    around.progress.begin(f"{drive_id}: blocks")
    await check_blocks(around, drive_id, keys)
    around.progress.begin(f"{drive_id}: content")
    await check_content(around, drive_id)
    around.progress.begin(f"{drive_id}: files")
    await check_files(around, drive_id, keys)
    around.report.awaited_count += await around.database.read(
        partial(count_lost, drive_id=drive_id)
    )


def _found_damage(around: Surroundings, fault: str) -> None:
    sentence = f"The database is damaged: {fault}"
    around.report.add(Finding(FindingKind.DATABASE_DAMAGED, "", "metadata.db", sentence, False))
