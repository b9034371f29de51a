"""Rows of drives: who may see them, their heads and quotas, making one."""

from collections.abc import Sequence as Rows
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from backend_server.domain.caller import Role, View
from backend_server.metadata.tables import drive_keys, drive_members, drives
from backend_server.protocol.identity import AccountId, DriveId, NodeId, Sequence


class DriveRow(NamedTuple):
    """The counters of one drive, as of the transaction that read them."""

    drive_id: DriveId
    epoch: str
    head_sequence: Sequence
    quota_limit: int
    quota_used: int
    quota_reserved: int
    compacted_through: Sequence


class NewDrive(NamedTuple):
    """What a drive is made of. Keys are wrapped already; `chunker` is JSON."""

    drive_id: DriveId
    kind: str
    owner_account: AccountId
    name: str
    epoch: str
    wrapped_chunk_key: bytes
    wrapped_data_key: bytes
    chunker: str
    quota_limit: int
    created_at_ms: int


# Statements of the hot paths are made once: SQLAlchemy takes longer to put one together than
# SQLite to run it.
_VIEW: Final = select(drive_members.c.root_node, drive_members.c.role).where(
    drive_members.c.drive_id == bindparam("drive_id"),
    drive_members.c.account_id == bindparam("account_id"),
)
_DRIVE: Final = select(
    drives.c.drive_id,
    drives.c.epoch,
    drives.c.head_sequence,
    drives.c.quota_limit,
    drives.c.quota_used,
    drives.c.quota_reserved,
    drives.c.compacted_through,
).where(drives.c.drive_id == bindparam("drive_id"))
_DRIVE_FOR_CHANGE: Final = _DRIVE.with_for_update()
_STORE_COUNTERS: Final = (
    update(drives)
    .where(drives.c.drive_id == bindparam("in_drive"))
    .values(
        head_sequence=bindparam("head_sequence"),
        quota_used=bindparam("quota_used"),
        quota_reserved=bindparam("quota_reserved"),
    )
)


def load_view(connection: Connection, account_id: AccountId, drive_id: DriveId) -> View | None:
    """Return what the account sees of the drive, or None."""
    row = connection.execute(_VIEW, {"drive_id": drive_id, "account_id": account_id}).first()
    return None if row is None else View(drive_id, NodeId(row.root_node), Role(row.role))


def load_views(connection: Connection, account_id: AccountId) -> list[View]:
    """Return everything the account sees, its own drives first."""
    rows = connection.execute(
        select(drive_members.c.drive_id, drive_members.c.root_node, drive_members.c.role)
        .where(drive_members.c.account_id == account_id)
        .order_by(drive_members.c.role != Role.OWNER, drive_members.c.drive_id)
    )
    return [View(DriveId(row.drive_id), NodeId(row.root_node), Role(row.role)) for row in rows]


def load_drive(connection: Connection, drive_id: DriveId, *, for_change: bool = False) -> DriveRow:
    """Return the drive's counters. `for_change` locks the row until the transaction ends.

    The drive must exist: authorise first.
    """
    statement = _DRIVE_FOR_CHANGE if for_change else _DRIVE
    return DriveRow(*connection.execute(statement, {"drive_id": drive_id}).one())


def load_heads(
    connection: Connection, account_id: AccountId, drive_ids: Rows[DriveId]
) -> dict[DriveId, tuple[str, Sequence]]:
    """Return (epoch, head sequence) of those drives that the account sees."""
    visible = select(drive_members.c.drive_id).where(
        drive_members.c.account_id == account_id, drive_members.c.drive_id.in_(drive_ids)
    )
    rows = connection.execute(
        select(drives.c.drive_id, drives.c.epoch, drives.c.head_sequence).where(
            drives.c.drive_id.in_(visible)
        )
    )
    return {DriveId(row.drive_id): (row.epoch, Sequence(row.head_sequence)) for row in rows}


def store_drive_counters(
    connection: Connection,
    drive_id: DriveId,
    *,
    head_sequence: int,
    quota_used: int,
    quota_reserved: int,
) -> None:
    """Write the counters of a drive that this transaction has locked."""
    connection.execute(
        _STORE_COUNTERS,
        {
            "in_drive": drive_id,
            "head_sequence": head_sequence,
            "quota_used": quota_used,
            "quota_reserved": quota_reserved,
        },
    )


def insert_drive(connection: Connection, new: NewDrive, *, head_sequence: int) -> None:
    """Write the rows of a new drive, its first data key and its owner's view."""
    connection.execute(
        drives.insert().values(
            drive_id=new.drive_id,
            kind=new.kind,
            owner_account=new.owner_account,
            name=new.name,
            epoch=new.epoch,
            head_sequence=head_sequence,
            wrapped_chunk_key=new.wrapped_chunk_key,
            chunker=new.chunker,
            quota_limit=new.quota_limit,
            quota_used=0,
            quota_reserved=0,
            created_at_ms=new.created_at_ms,
            compacted_through=0,
        )
    )
    connection.execute(
        drive_keys.insert().values(
            drive_id=new.drive_id,
            key_version=1,
            wrapped_key=new.wrapped_data_key,
            created_at_ms=new.created_at_ms,
        )
    )
    connection.execute(
        drive_members.insert().values(
            drive_id=new.drive_id,
            account_id=new.owner_account,
            role=Role.OWNER.value,
            root_node=1,
        )
    )
