"""Statements about where blocks are, and what an upload has sent. Set-wise."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, select, update
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

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

_expect_insert = sqlite_insert(chunks)
_EXPECT = _expect_insert.values(
    drive_id=bindparam("drive_id"),
    chunk_id=bindparam("chunk_id"),
    length=bindparam("length"),
    place="expected",
    generation=bindparam("generation"),
    encoded_size=0,
    key_version=0,
).on_conflict_do_update(
    index_elements=[chunks.c.drive_id, chunks.c.chunk_id],
    set_={"generation": _expect_insert.excluded.generation},
    where=chunks.c.place == "expected",
)

_PLACE = (
    update(chunks)
    .where(
        chunks.c.drive_id == bindparam("in_drive"),
        chunks.c.chunk_id == bindparam("of_chunk"),
        chunks.c.place == "expected",
    )
    .values(
        place="object",
        generation=bindparam("generation"),
        encoded_size=bindparam("encoded_size"),
        key_version=bindparam("key_version"),
        stored_digest=bindparam("stored_digest"),
        stored_at_ms=bindparam("stored_at_ms"),
    )
)


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
    if arriving:
        connection.execute(
            _EXPECT, [{"drive_id": drive_id, **chunk._asdict()} for chunk in arriving]
        )


def place_objects(
    connection: Connection, drive_id: DriveId, placed: Sequence[PlacedObject], *, now_ms: int
) -> set[ChunkId]:
    """Say of each expected chunk that its object is durable.

    Returns the chunks whose row names the object given. The others were stored by somebody else
    meanwhile, and the object given is nobody's.
    """
    if not placed:
        return set()
    connection.execute(
        _PLACE,
        [
            {
                "in_drive": drive_id,
                "of_chunk": item.chunk_id,
                "generation": item.generation,
                "encoded_size": item.encoded_size,
                "key_version": item.key_version,
                "stored_digest": item.stored_digest,
                "stored_at_ms": now_ms,
            }
            for item in placed
        ],
    )
    places = load_places(connection, drive_id, [item.chunk_id for item in placed])
    return {
        item.chunk_id
        for item in placed
        if item.chunk_id in places and places[item.chunk_id].generation == item.generation
    }


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
    if chunk_ids:
        connection.execute(
            sqlite_insert(upload_chunks).on_conflict_do_nothing(),
            [
                {"drive_id": drive_id, "upload_id": upload_id, "chunk_id": chunk_id}
                for chunk_id in chunk_ids
            ],
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
