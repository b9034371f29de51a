"""Statements about the keys of drives (wrapped) and how drives present themselves."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from backend_server.metadata.tables import drive_keys, drives
from backend_server.protocol.identity import DriveId


@dataclass(frozen=True, slots=True)
class WrappedDriveKeys:
    """`data_keys`: version to wrapped key, never empty; the highest version seals."""

    chunk_key: bytes
    data_keys: dict[int, bytes]


@dataclass(frozen=True, slots=True)
class DriveDescription:
    """`chunker` is JSON of `ChunkerParameters`."""

    drive_id: DriveId
    name: str
    epoch: str
    chunker: str


def load_wrapped_keys(connection: Connection, drive_id: DriveId) -> WrappedDriveKeys | None:
    """Return the keys of a drive, or None if there is no such drive."""
    drive = connection.execute(
        select(drives.c.wrapped_chunk_key).where(drives.c.drive_id == drive_id)
    ).one_or_none()
    if drive is None:
        return None
    rows = connection.execute(
        select(drive_keys.c.key_version, drive_keys.c.wrapped_key).where(
            drive_keys.c.drive_id == drive_id
        )
    )
    return WrappedDriveKeys(
        drive.wrapped_chunk_key, {row.key_version: row.wrapped_key for row in rows}
    )


def load_any_drive_id(connection: Connection) -> DriveId | None:
    """Return some drive, to try the master key on; None on an empty server."""
    return connection.scalars(select(drives.c.drive_id).limit(1)).one_or_none()


def load_drive_descriptions(
    connection: Connection, drive_ids: Sequence[DriveId]
) -> dict[DriveId, DriveDescription]:
    """Return how those drives present themselves."""
    rows = connection.execute(
        select(drives.c.drive_id, drives.c.name, drives.c.epoch, drives.c.chunker).where(
            drives.c.drive_id.in_(drive_ids)
        )
    )
    return {
        DriveId(row.drive_id): DriveDescription(
            DriveId(row.drive_id), row.name, row.epoch, row.chunker
        )
        for row in rows
    }
