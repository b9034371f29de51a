"""Quota, head and journal of a drive."""

from functools import partial

from sqlalchemy import Connection

from backend_server.domain.check_counters import DriveCounters, find_counter_faults
from backend_server.domain.findings import FindingKind
from backend_server.maintenance.check.surroundings import Surroundings
from backend_server.metadata.tree_check_rows import load_counters, store_head, store_quota
from backend_server.protocol.identity import DriveId


async def check_counters(around: Surroundings, drive_id: DriveId) -> None:
    """Hold the drive's counters against its rows; a repair writes what the rows say."""
    counters = await around.database.read(partial(load_counters, drive_id=drive_id))
    findings = find_counter_faults(counters)
    is_repairing = around.options.is_repairing and any(each.is_repairable for each in findings)
    if is_repairing:
        kinds = {finding.kind for finding in findings}
        await around.database.write(partial(_repair, counters=counters, kinds=kinds))
    for finding in findings:
        around.report.add(finding, is_repaired=is_repairing and finding.is_repairable)


def _repair(connection: Connection, *, counters: DriveCounters, kinds: set[FindingKind]) -> None:
    drive_id = DriveId(counters.drive_id)
    if FindingKind.HEAD_BEHIND in kinds:
        store_head(connection, drive_id, counters.highest_sequence)
    if kinds & {FindingKind.QUOTA_WRONG, FindingKind.RESERVATION_WRONG}:
        store_quota(
            connection, drive_id, used=counters.charged_bytes, reserved=counters.reserved_bytes
        )
