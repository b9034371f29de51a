"""How a repair sets a drive's tree and counters right: what devices must hear of, as changes of the
journal."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, select, update

from backend_server.domain.check_tree import DentryRepair, recovered_name
from backend_server.domain.verdicts import EntryKind
from backend_server.metadata.bulk import BulkInsert
from backend_server.metadata.tables import dentries, drives, journal, nodes
from backend_server.protocol.identity import ROOT_NODE, DriveId

_NO_DEVICE: Final = 0
_NAMES_TRIED_MAX: Final = 100
_STORE_DENTRIES: Final = BulkInsert(dentries, on_conflict="replace")
_STORE_JOURNAL: Final = BulkInsert(journal, on_conflict="fail")


def store_head(connection: Connection, drive_id: DriveId, head_sequence: int) -> None:
    """Say how far the drive's journal goes."""
    connection.execute(
        update(drives).where(drives.c.drive_id == drive_id).values(head_sequence=head_sequence)
    )


def store_quota(connection: Connection, drive_id: DriveId, *, used: int, reserved: int) -> None:
    """Say how many bytes the drive's files take, and its uploads reserve."""
    connection.execute(
        update(drives)
        .where(drives.c.drive_id == drive_id)
        .values(quota_used=used, quota_reserved=reserved)
    )


def repair_names(
    connection: Connection,
    drive_id: DriveId,
    removed: Sequence[DentryRepair],
    nameless: Sequence[int],
    *,
    now_ms: int,
) -> None:
    """Take names away, and give each node of `nameless` one at the top of the drive.

    Each is a change in the journal, so that devices hear of it.
    """
    changes = [*removed, *(_free_name(connection, drive_id, node_id) for node_id in nameless)]
    head = connection.scalar(select(drives.c.head_sequence).where(drives.c.drive_id == drive_id))
    assert head is not None
    numbered = list(enumerate(changes, start=head + 1))
    _STORE_DENTRIES.execute(
        connection,
        [
            (drive_id, change.parent, change.name, change.node_id or None, sequence)
            for sequence, change in numbered
        ],
    )
    for sequence, change in numbered:
        if change.node_id:
            _store_sequence(connection, drive_id, change.node_id, sequence)
    _append_journal(
        connection,
        drive_id,
        [
            (sequence, EntryKind.PLACED, change.node_id or change.parent)
            for sequence, change in numbered
        ],
        now_ms=now_ms,
    )


def tell_anew(connection: Connection, drive_id: DriveId, node_id: int, *, now_ms: int) -> None:
    """Let devices hear of a node's row again, as of a change of its attributes."""
    head = connection.scalar(select(drives.c.head_sequence).where(drives.c.drive_id == drive_id))
    assert head is not None
    _store_sequence(connection, drive_id, node_id, head + 1)
    entry = (head + 1, EntryKind.ATTRIBUTES_SET, node_id)
    _append_journal(connection, drive_id, [entry], now_ms=now_ms)


def _store_sequence(connection: Connection, drive_id: DriveId, node_id: int, sequence: int) -> None:
    connection.execute(
        update(nodes)
        .where(nodes.c.drive_id == drive_id, nodes.c.node_id == node_id)
        .values(sequence=sequence)
    )


def _append_journal(
    connection: Connection,
    drive_id: DriveId,
    entries: Sequence[tuple[int, EntryKind, int]],
    *,
    now_ms: int,
) -> None:
    """Write (sequence, kind, node) behind the head, which moves."""
    _STORE_JOURNAL.execute(
        connection,
        [
            (drive_id, sequence, kind.value, node_id, _NO_DEVICE, now_ms)
            for sequence, kind, node_id in entries
        ],
    )
    if entries:
        store_head(connection, drive_id, entries[-1][0])


def _free_name(connection: Connection, drive_id: DriveId, node_id: int) -> DentryRepair:
    for attempt in range(_NAMES_TRIED_MAX):
        name = recovered_name(node_id, attempt)
        taken = connection.scalar(
            select(dentries.c.node_id).where(
                dentries.c.drive_id == drive_id,
                dentries.c.parent == ROOT_NODE,
                dentries.c.name == name,
            )
        )
        if taken is None:
            return DentryRepair(ROOT_NODE, name, node_id)
    raise AssertionError("so many nodes cannot have been recovered under one id")
