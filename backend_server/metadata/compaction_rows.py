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
    connection: Connection, drive_id: DriveId, *, before_ms: int, rows_max: int
) -> Sequence:
    """Return the last of the `rows_max` oldest sequences that was accepted before `before_ms`;
    0 if none was."""
    oldest = connection.execute(_OLDEST, {"drive_id": drive_id}).scalar()
    if oldest is None:
        return Sequence(0)
    found = connection.execute(
        _AGED_THROUGH,
        {"drive_id": drive_id, "before_ms": before_ms, "at_most": oldest + rows_max - 1},
    ).scalar()
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
