"""Head and journal of a drive, and its quota."""

from collections.abc import Callable
from functools import partial

from sqlalchemy import Connection

from backend_server.domain.check_counters import (
    DriveCounters,
    find_journal_faults,
    find_quota_faults,
)
from backend_server.domain.findings import Finding
from backend_server.maintenance.check.surroundings import Surroundings
from backend_server.metadata.tree_check_rows import load_counters
from backend_server.metadata.tree_repair_rows import store_head, store_quota
from backend_server.protocol.identity import DriveId


async def check_journal(around: Surroundings, drive_id: DriveId) -> None:
    """Hold head and journal against the changes that were made. Before any repair makes one."""
    await _check(around, drive_id, find_journal_faults, _repair_head)


async def check_quota(around: Surroundings, drive_id: DriveId) -> None:
    """Hold what is counted as used and reserved against files and uploads."""
    await _check(around, drive_id, find_quota_faults, _repair_quota)


async def _check(
    around: Surroundings,
    drive_id: DriveId,
    find: Callable[[DriveCounters], list[Finding]],
    repair: Callable[[Connection, DriveCounters], None],
) -> None:
    counters = await around.database.read(partial(load_counters, drive_id=drive_id))
    findings = find(counters)
    is_repairing = around.options.is_repairing and any(each.is_repairable for each in findings)
    if is_repairing:
        await around.database.write(lambda connection: repair(connection, counters))
    for finding in findings:
        around.report.add(finding, is_repaired=is_repairing and finding.is_repairable)


def _repair_head(connection: Connection, counters: DriveCounters) -> None:
    head = max(counters.head_sequence, counters.highest_sequence)
    store_head(connection, DriveId(counters.drive_id), head)


def _repair_quota(connection: Connection, counters: DriveCounters) -> None:
    store_quota(
        connection,
        DriveId(counters.drive_id),
        used=counters.charged_bytes,
        reserved=counters.reserved_bytes,
    )
