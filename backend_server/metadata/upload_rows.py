"""Rows of pending revisions: what they reserve, what they may send, when they are over."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, delete, select, update

from backend_server.metadata.bulk import BulkInsert, in_lists
from backend_server.metadata.tables import upload_chunks, uploads
from backend_server.protocol.identity import DeviceId, DriveId, UploadId


class UploadRow(NamedTuple):
    """A pending revision. `allowed_bytes` 0: blocks came, but it was not announced yet."""

    drive_id: DriveId
    upload_id: UploadId
    device_id: DeviceId
    node_id: int
    base_revision: int
    reserved_bytes: int
    received_bytes: int
    allowed_bytes: int
    lease_until_ms: int


_STORE_UPLOADS: Final = BulkInsert(uploads, on_conflict="replace")
_RESERVATIONS: Final = select(uploads.c.upload_id, uploads.c.reserved_bytes).where(
    uploads.c.drive_id == bindparam("drive_id"),
    uploads.c.device_id == bindparam("device_id"),
    uploads.c.upload_id.in_(bindparam("upload_ids", expanding=True)),
)
_PINNED: Final = select(upload_chunks.c.chunk_id).where(
    upload_chunks.c.drive_id == bindparam("drive_id"),
    upload_chunks.c.upload_id == bindparam("upload_id"),
    upload_chunks.c.chunk_id.in_(bindparam("chunk_ids", expanding=True)),
)


def load_upload(connection: Connection, drive_id: DriveId, upload_id: UploadId) -> UploadRow | None:
    """Return the pending revision, or None."""
    row = connection.execute(
        select(*uploads.columns).where(
            uploads.c.drive_id == drive_id, uploads.c.upload_id == upload_id
        )
    ).first()
    return None if row is None else UploadRow(*row)


def load_pinned(
    connection: Connection, drive_id: DriveId, upload_id: UploadId, chunk_ids: Sequence[bytes]
) -> set[bytes]:
    """Return those of `chunk_ids` that the upload holds already."""
    pinned: set[bytes] = set()
    for some in in_lists(chunk_ids):
        rows = connection.scalars(
            _PINNED, {"drive_id": drive_id, "upload_id": upload_id, "chunk_ids": some}
        )
        pinned.update(rows.all())
    return pinned


def load_reservations(
    connection: Connection, drive_id: DriveId, device_id: DeviceId, upload_ids: Iterable[bytes]
) -> dict[bytes, int]:
    """Return what each of the device's uploads reserves; those that are not there are left out."""
    found: dict[bytes, int] = {}
    for some in in_lists(list(upload_ids)):
        rows = connection.execute(
            _RESERVATIONS, {"drive_id": drive_id, "device_id": device_id, "upload_ids": some}
        )
        found.update((row[0], row[1]) for row in rows.all())
    return found


def store_upload(connection: Connection, upload: UploadRow) -> None:
    """Write the row of a pending revision, new or known."""
    _STORE_UPLOADS.execute(connection, [tuple(upload)])


def delete_uploads(connection: Connection, drive_id: DriveId, upload_ids: Iterable[bytes]) -> None:
    """Drop pending revisions and let go of what they hold. Their reservation is the caller's."""
    for some in in_lists(list(upload_ids)):
        for table in (upload_chunks, uploads):
            connection.execute(
                delete(table).where(table.c.drive_id == drive_id, table.c.upload_id.in_(some))
            )


def move_leases(connection: Connection, *, by_ms: int, no_later_than_ms: int) -> int:
    """Move the end of every lease by `by_ms`, but none beyond `no_later_than_ms`. Returns how many
    leases ended later than that."""
    if by_ms:
        connection.execute(update(uploads).values(lease_until_ms=uploads.c.lease_until_ms + by_ms))
    return connection.execute(
        update(uploads)
        .where(uploads.c.lease_until_ms > no_later_than_ms)
        .values(lease_until_ms=no_later_than_ms)
    ).rowcount


def load_expired(connection: Connection, *, now_ms: int, count_max: int) -> list[UploadRow]:
    """Return at most `count_max` uploads whose lease is over, the oldest first, of any drive."""
    rows = connection.execute(
        select(*uploads.columns)
        .where(uploads.c.lease_until_ms < now_ms)
        .order_by(uploads.c.lease_until_ms)
        .limit(count_max)
    )
    return [UploadRow(*row) for row in rows.all()]
