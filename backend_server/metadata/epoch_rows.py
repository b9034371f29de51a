"""Rows of epochs that ended, and the drive's step into the next."""

from typing import Final

from sqlalchemy import Connection, bindparam, select, update

from backend_server.domain.epochs import EndedEpoch
from backend_server.metadata.tables import drives, ended_epochs
from backend_server.protocol.identity import DriveId

_ENDED: Final = (
    select(ended_epochs.c.epoch, ended_epochs.c.kept_through, ended_epochs.c.resumed_at)
    .where(ended_epochs.c.drive_id == bindparam("drive_id"))
    .order_by(ended_epochs.c.resumed_at)
)


def load_ended_epochs(connection: Connection, drive_id: DriveId) -> list[EndedEpoch]:
    """Return the drive's epochs that ended, the oldest first."""
    return [EndedEpoch(*row) for row in connection.execute(_ENDED, {"drive_id": drive_id})]


def store_next_epoch(
    connection: Connection, drive_id: DriveId, ended: EndedEpoch, *, epoch: str, now_ms: int
) -> None:
    """End an epoch of a drive that this transaction has locked, and begin `epoch` behind it."""
    connection.execute(
        ended_epochs.insert().values(
            drive_id=drive_id,
            resumed_at=ended.resumed_at,
            epoch=ended.epoch,
            kept_through=ended.kept_through,
            ended_at_ms=now_ms,
        )
    )
    connection.execute(
        update(drives)
        .where(drives.c.drive_id == drive_id)
        .values(epoch=epoch, head_sequence=ended.resumed_at)
    )
