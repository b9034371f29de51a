"""Statements about where blocks are, and what an upload has sent. Set-wise."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, func, literal_column, select, update

from backend_server.metadata.bulk import BulkInsert
from backend_server.metadata.lost_rows import forget_lost
from backend_server.metadata.tables import chunks, upload_chunks, uploads
from backend_server.protocol.identity import ChunkId, DeviceId, DriveId

_IDS_PER_STATEMENT = 1000


class ChunkPlace(NamedTuple):
    """Where a stored chunk's sealed block is: in `sealed`, else the object of `generation`."""

    chunk_id: ChunkId
    length: int
    encoded_size: int
    generation: int
    stored_digest: bytes
    sealed: bytes | None


class ArrivingChunk(NamedTuple):
    """A chunk whose object is about to be written. `length` is of the plaintext."""

    chunk_id: ChunkId
    length: int
    generation: int


class PlacedObject(NamedTuple):
    """An object that is durable in the store."""

    chunk_id: ChunkId
    length: int
    generation: int
    encoded_size: int
    key_version: int
    stored_digest: bytes


class UploadProgress(NamedTuple):
    """What one upload may send and has sent, in bytes of plaintext."""

    device_id: DeviceId
    allowed_bytes: int
    received_bytes: int


_STORED = chunks.c.place != "expected"

_LOAD_PLACES = select(
    chunks.c.chunk_id,
    chunks.c.length,
    chunks.c.encoded_size,
    chunks.c.generation,
    chunks.c.stored_digest,
    chunks.c.sealed,
).where(
    chunks.c.drive_id == bindparam("drive_id"),
    chunks.c.chunk_id.in_(bindparam("chunk_ids", expanding=True)),
    _STORED,
)

# A row that is stored stays as it is, whoever comes later.
_STORE_WHERE_EXPECTED: Final = BulkInsert(
    chunks, on_conflict="replace", replace_where=chunks.c.place == literal_column("'expected'")
)
_PIN: Final = BulkInsert(upload_chunks, on_conflict="keep")


def load_places(
    connection: Connection, drive_id: DriveId, chunk_ids: Sequence[ChunkId]
) -> dict[ChunkId, ChunkPlace]:
    """Return where those of `chunk_ids` are that are stored."""
    places: dict[ChunkId, ChunkPlace] = {}
    for run in _runs(chunk_ids):
        rows = connection.execute(_LOAD_PLACES, {"drive_id": drive_id, "chunk_ids": run})
        for row in rows:
            place = ChunkPlace(*row)
            places[place.chunk_id] = place
    return places


def load_stored_ids(
    connection: Connection, drive_id: DriveId, chunk_ids: Sequence[ChunkId]
) -> set[ChunkId]:
    """Return those of `chunk_ids` that are stored."""
    stored: set[ChunkId] = set()
    for run in _runs(chunk_ids):
        stored.update(
            ChunkId(chunk_id)
            for chunk_id in connection.scalars(
                select(chunks.c.chunk_id).where(
                    chunks.c.drive_id == drive_id, chunks.c.chunk_id.in_(run), _STORED
                )
            )
        )
    return stored


def expect_chunks(
    connection: Connection, drive_id: DriveId, arriving: Sequence[ArrivingChunk]
) -> None:
    """Have a row for each chunk before its object is written; stored ones stay as they are."""
    _STORE_WHERE_EXPECTED.execute(
        connection,
        [
            (drive_id, chunk_id, length, "expected", generation, 0, 0, None, None, None)
            for chunk_id, length, generation in arriving
        ],
    )


def place_objects(
    connection: Connection, drive_id: DriveId, placed: Sequence[PlacedObject], *, now_ms: int
) -> set[ChunkId]:
    """Say of each expected chunk that its object is durable.

    Returns the chunks whose row names the object given. The others were stored by somebody else
    meanwhile, and the object given is nobody's.
    """
    _STORE_WHERE_EXPECTED.execute(
        connection,
        [
            (
                drive_id,
                item.chunk_id,
                item.length,
                "object",
                item.generation,
                item.encoded_size,
                item.key_version,
                now_ms,
                item.stored_digest,
                None,
            )
            for item in placed
        ],
    )
    places = load_places(connection, drive_id, [item.chunk_id for item in placed])
    forget_lost(connection, drive_id, places)
    return {
        item.chunk_id
        for item in placed
        if item.chunk_id in places and places[item.chunk_id].generation == item.generation
    }


def mark_unstored(connection: Connection, drive_id: DriveId, chunk_ids: Sequence[ChunkId]) -> None:
    """Say of chunks whose block is no good that they are expected, as before they came.

    The generation stays: should that very object come back, it is known.
    """
    for run in _runs(chunk_ids):
        connection.execute(
            update(chunks)
            .where(chunks.c.drive_id == drive_id, chunks.c.chunk_id.in_(run))
            .values(
                place="expected",
                encoded_size=0,
                key_version=0,
                stored_at_ms=None,
                stored_digest=None,
                sealed=None,
            )
        )


def refresh_stored(
    connection: Connection, drive_id: DriveId, chunk_ids: Sequence[ChunkId], *, now_ms: int
) -> None:
    """Note that somebody relies on stored chunks again: their grace period starts anew."""
    for run in _runs(chunk_ids):
        connection.execute(
            update(chunks)
            .where(chunks.c.drive_id == drive_id, chunks.c.chunk_id.in_(run), _STORED)
            .values(stored_at_ms=now_ms)
        )


def load_upload_progress(
    connection: Connection, drive_id: DriveId, upload_id: bytes
) -> UploadProgress | None:
    """Return what an upload may send and has sent, or None if nobody spoke of it yet."""
    row = connection.execute(
        select(uploads.c.device_id, uploads.c.allowed_bytes, uploads.c.received_bytes).where(
            uploads.c.drive_id == drive_id, uploads.c.upload_id == upload_id
        )
    ).one_or_none()
    return None if row is None else UploadProgress(*row)


def load_unannounced_bytes(connection: Connection, drive_id: DriveId, device_id: DeviceId) -> int:
    """Return how many bytes a device has sent under uploads that it has yet to announce."""
    total = connection.scalar(
        select(func.coalesce(func.sum(uploads.c.received_bytes), 0)).where(
            uploads.c.drive_id == drive_id,
            uploads.c.device_id == device_id,
            uploads.c.allowed_bytes == 0,
        )
    )
    return int(total or 0)


def insert_unannounced_upload(
    connection: Connection,
    drive_id: DriveId,
    upload_id: bytes,
    *,
    device_id: DeviceId,
    lease_until_ms: int,
) -> None:
    """Have a row for an upload whose blocks come before its announcement."""
    connection.execute(
        uploads.insert().values(
            drive_id=drive_id,
            upload_id=upload_id,
            device_id=device_id,
            node_id=0,
            base_revision=0,
            reserved_bytes=0,
            received_bytes=0,
            allowed_bytes=0,
            lease_until_ms=lease_until_ms,
        )
    )


def pin_chunks(
    connection: Connection, drive_id: DriveId, upload_id: bytes, chunk_ids: Sequence[ChunkId]
) -> None:
    """Hold chunks against the sweep for as long as the upload lives. Idempotent."""
    _PIN.execute(
        connection, [(drive_id, upload_id, chunk_id) for chunk_id in dict.fromkeys(chunk_ids)]
    )


def add_received(
    connection: Connection,
    drive_id: DriveId,
    upload_id: bytes,
    *,
    received_bytes: int,
    lease_until_ms: int,
) -> None:
    """Count bytes that an upload has sent, and renew its lease."""
    connection.execute(
        update(uploads)
        .where(uploads.c.drive_id == drive_id, uploads.c.upload_id == upload_id)
        .values(
            received_bytes=uploads.c.received_bytes + received_bytes,
            lease_until_ms=lease_until_ms,
        )
    )


def _runs(chunk_ids: Sequence[ChunkId]) -> Iterator[list[ChunkId]]:
    distinct = list(dict.fromkeys(chunk_ids))
    for start in range(0, len(distinct), _IDS_PER_STATEMENT):
        yield distinct[start : start + _IDS_PER_STATEMENT]
