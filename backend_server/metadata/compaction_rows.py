"""Rows that compaction looks for and removes."""

from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select, update

from backend_server.metadata.tables import dentries, drives, journal
from backend_server.protocol.identity import DriveId, Sequence

_AGED_THROUGH: Final = select(func.max(journal.c.sequence)).where(
    journal.c.drive_id == bindparam("drive_id"),
    journal.c.accepted_at_ms < bindparam("before_ms"),
    # By sequence, of which the oldest are looked at: the rows lie in this order.
    journal.c.sequence <= bindparam("at_most"),
)
_OLDEST: Final = select(func.min(journal.c.sequence)).where(
    journal.c.drive_id == bindparam("drive_id")
)
_FIRST_WITH_A_TRUE_TIME: Final = (
    select(journal.c.sequence, journal.c.accepted_at_ms)
    .where(journal.c.drive_id == bindparam("drive_id"))
    .where(journal.c.accepted_at_ms <= bindparam("now_ms"))
    .order_by(journal.c.sequence)
    .limit(1)
)
_SOME_DRIVES: Final = (
    select(drives.c.drive_id)
    .where(drives.c.drive_id > bindparam("after"))
    .order_by(drives.c.drive_id)
    .limit(bindparam("count_max"))
)


def load_some_drive_ids(connection: Connection, *, after: str, count_max: int) -> list[DriveId]:
    """Return drives in the order of their ids, those behind `after`."""
    rows = connection.execute(_SOME_DRIVES, {"after": after, "count_max": count_max})
    return [DriveId(row.drive_id) for row in rows]


def load_aged_through(
    connection: Connection, drive_id: DriveId, *, before_ms: int, now_ms: int, rows_max: int
) -> Sequence:
    """Return the last of the `rows_max` oldest sequences that was accepted before `before_ms`;
    0 if none was.

    Entries from the future, of a clock that was ahead, are as old as the first behind them.
    """
    oldest = connection.execute(_OLDEST, {"drive_id": drive_id}).scalar()
    if oldest is None:
        return Sequence(0)
    at_most = oldest + rows_max - 1
    found = connection.execute(
        _AGED_THROUGH, {"drive_id": drive_id, "before_ms": before_ms, "at_most": at_most}
    ).scalar()
    if found is None:
        true = connection.execute(
            _FIRST_WITH_A_TRUE_TIME, {"drive_id": drive_id, "now_ms": now_ms}
        ).first()
        if true is not None and true.sequence > at_most and true.accepted_at_ms < before_ms:
            found = at_most
    return Sequence(found or 0)


def delete_through(
    connection: Connection, drive_id: DriveId, sequence: Sequence, *, after: Sequence
) -> int:
    """Remove journal entries and tombstones of dentries up to `sequence`; return how many rows.

    There are none up to `after`, which is what was compacted before: what lives there is not looked
    through again.

    Tombstones of nodes stay: an id is never given again. The drive says from now on that whoever
    has read less must start anew.
    """
    gone = connection.execute(
        delete(journal).where(journal.c.drive_id == drive_id, journal.c.sequence <= sequence)
    ).rowcount
    gone += connection.execute(
        delete(dentries).where(
            dentries.c.drive_id == drive_id,
            dentries.c.sequence > after,
            dentries.c.sequence <= sequence,
            dentries.c.node_id.is_(None),
        )
    ).rowcount
    connection.execute(
        update(drives).where(drives.c.drive_id == drive_id).values(compacted_through=sequence)
    )
    return gone
