"""The feed: states of nodes and dentries by the sequence that last changed them."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, or_, select

from backend_server.metadata.tables import dentries, device_progress, nodes
from backend_server.protocol.identity import DeviceId, DriveId
from backend_server.protocol.tree_messages import DentryState, NodeKind, NodeState

# A tombstone up to `buried_before` says nothing to whoever had nothing before.
_NODES: Final = (
    select(
        nodes.c.node_id,
        nodes.c.sequence,
        nodes.c.kind,
        nodes.c.mode,
        nodes.c.uid,
        nodes.c.gid,
        nodes.c.mtime_ns,
        nodes.c.ctime_ns,
        nodes.c.attributes_version,
        nodes.c.size_bytes,
        nodes.c.revision,
        nodes.c.manifest_id,
        nodes.c.entries,
        nodes.c.target,
        nodes.c.rdev,
        nodes.c.xattrs,
        nodes.c.conflict_of,
        nodes.c.conflict_device,
        nodes.c.conflict_at_ns,
    )
    .where(
        nodes.c.drive_id == bindparam("drive_id"),
        nodes.c.sequence > bindparam("after"),
        or_(nodes.c.kind != NodeKind.REMOVED.value, nodes.c.sequence > bindparam("buried_before")),
    )
    .order_by(nodes.c.sequence)
    .limit(bindparam("rows_max"))
)
_DENTRIES: Final = (
    select(
        dentries.c.parent,
        dentries.c.name,
        func.coalesce(dentries.c.node_id, 0),
        dentries.c.sequence,
    )
    .where(
        dentries.c.drive_id == bindparam("drive_id"),
        dentries.c.sequence > bindparam("after"),
        or_(dentries.c.node_id.is_not(None), dentries.c.sequence > bindparam("buried_before")),
    )
    .order_by(dentries.c.sequence)
    .limit(bindparam("rows_max"))
)
_HIGHEST_NUMBER: Final = select(device_progress.c.highest_number).where(
    device_progress.c.drive_id == bindparam("drive_id"),
    device_progress.c.device_id == bindparam("device_id"),
)
_KINDS: Final = {kind.value: kind for kind in NodeKind}


@dataclass(frozen=True, slots=True)
class FeedRange:
    """Rows changed after `after`; tombstones only of changes after `buried_before`."""

    after: int
    buried_before: int
    rows_max: int


def load_node_states(
    connection: Connection, drive_id: DriveId, wanted: FeedRange
) -> list[NodeState]:
    """Return at most `rows_max` node states, ordered by sequence."""
    rows = connection.execute(_NODES, _parameters(drive_id, wanted))
    return [NodeState(row[0], row[1], _KINDS[row[2]], *row[3:]) for row in rows.all()]


def load_dentry_states(
    connection: Connection, drive_id: DriveId, wanted: FeedRange
) -> list[DentryState]:
    """Return at most `rows_max` dentry states, ordered by sequence."""
    rows = connection.execute(_DENTRIES, _parameters(drive_id, wanted))
    return [DentryState(*row) for row in rows.all()]


def load_highest_number(connection: Connection, drive_id: DriveId, device_id: DeviceId) -> int:
    """Return the highest operation number that the device was answered here, or 0."""
    number = connection.execute(
        _HIGHEST_NUMBER, {"drive_id": drive_id, "device_id": device_id}
    ).scalar()
    return number or 0


def _parameters(drive_id: DriveId, wanted: FeedRange) -> dict[str, Any]:
    return {
        "drive_id": drive_id,
        "after": wanted.after,
        "buried_before": wanted.buried_before,
        "rows_max": wanted.rows_max,
    }
