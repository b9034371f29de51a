"""Names and nodes of a drive: every name leads somewhere, everything has a name, nothing floats."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple

from sqlalchemy import Connection

from backend_server.domain.check_tree import (
    FolderParents,
    TreeFault,
    cycle_fault,
    find_dentry_faults,
    find_node_faults,
)
from backend_server.domain.findings import Finding, FindingKind
from backend_server.maintenance.check.surroundings import Surroundings
from backend_server.metadata.tree_check_rows import (
    load_dentry_batch,
    load_folder_batch,
    load_folder_links,
    load_node_batch,
    load_root_kind,
)
from backend_server.metadata.tree_repair_rows import repair_names
from backend_server.protocol.identity import DriveId
from backend_server.protocol.tree_messages import NodeKind

REPAIRED_AT_ONCE_MAX: Final = 5000
"""Faults that one transaction sets right; what is beyond is looked for again."""

Scan = Callable[[Connection], Iterator[TreeFault]]


class _Faults(NamedTuple):
    repairable: list[TreeFault]
    others: list[TreeFault]

    @property
    def are_all(self) -> bool:
        return len(self.repairable) < REPAIRED_AT_ONCE_MAX


async def check_tree(around: Surroundings, drive_id: DriveId) -> None:
    """Walk the drive's names, then its nodes, then upwards from every folder.

    In this order a repair leaves nothing behind: names that lead nowhere go first, then what has
    no name gets one.
    """
    root_kind = await around.database.read(partial(load_root_kind, drive_id=drive_id))
    if root_kind != NodeKind.FOLDER:
        sentence = "The drive has no top folder, so nothing in it can be seen."
        around.report.add(Finding(FindingKind.ROOT_GONE, drive_id, drive_id, sentence, False))
        return
    for scan in (_scan_dentries, _scan_nodes, _scan_cycles):
        await _check(around, drive_id, partial(scan, around, drive_id))


async def _check(around: Surroundings, drive_id: DriveId, scan: Scan) -> None:
    if not around.options.is_repairing:
        await around.database.read(partial(_report_all, around, scan))
        return
    while True:
        faults = await around.database.read(partial(_gather, scan))
        if faults.repairable:
            await around.database.write(
                partial(
                    repair_names,
                    drive_id=drive_id,
                    removed=[name for fault in faults.repairable for name in fault.removed],
                    nameless=[fault.nameless for fault in faults.repairable if fault.nameless],
                    now_ms=around.clock_ms(),
                )
            )
        for fault in faults.repairable:
            around.report.add(fault.finding, is_repaired=True)
        if faults.are_all:
            for fault in faults.others:
                around.report.add(fault.finding)
            return


def _report_all(around: Surroundings, scan: Scan, connection: Connection) -> None:
    for fault in scan(connection):
        around.report.add(fault.finding)


def _gather(scan: Scan, connection: Connection) -> _Faults:
    faults = _Faults([], [])
    for fault in scan(connection):
        if fault.finding.is_repairable:
            faults.repairable.append(fault)
            if not faults.are_all:
                break
        elif len(faults.others) < REPAIRED_AT_ONCE_MAX:
            faults.others.append(fault)
    return faults


def _scan_dentries(
    around: Surroundings, drive_id: DriveId, connection: Connection
) -> Iterator[TreeFault]:
    after = (-1, b"")
    while batch := load_dentry_batch(connection, drive_id, after):
        yield from find_dentry_faults(drive_id, batch)
        around.progress.advance(len(batch))
        after = (batch[-1].parent, batch[-1].name)


def _scan_nodes(
    around: Surroundings, drive_id: DriveId, connection: Connection
) -> Iterator[TreeFault]:
    after = 0
    while batch := load_node_batch(connection, drive_id, after):
        twice = [row.node_id for row in batch if row.kind == NodeKind.FOLDER and row.good_links > 1]
        links = load_folder_links(connection, drive_id, twice)
        yield from find_node_faults(drive_id, batch, links)
        around.progress.advance(len(batch))
        after = batch[-1].node_id


def _scan_cycles(
    around: Surroundings, drive_id: DriveId, connection: Connection
) -> Iterator[TreeFault]:
    parents = FolderParents()
    after = 0
    while folders := load_folder_batch(connection, drive_id, after):
        links = load_folder_links(connection, drive_id, folders)
        for folder_id in folders:
            if folder_id in links:
                newest = max(links[folder_id], key=lambda link: link.sequence)
                parents.add(folder_id, newest.parent)
        around.progress.advance(len(folders))
        after = folders[-1]
    for cycle in parents.cycles():
        [link] = load_folder_links(connection, drive_id, cycle[:1])[cycle[0]][-1:]
        yield cycle_fault(drive_id, cycle, link)
