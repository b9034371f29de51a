"""Rows of blocks as a check needs them, a batch at a time, and how they are set right."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, and_, bindparam, or_, select, update

from backend_server.metadata.bulk import in_lists
from backend_server.metadata.tables import chunks, lost_chunks
from backend_server.protocol.identity import ChunkId, DriveId

BATCH_ROWS: Final = 200
"""Inline blocks come with their rows: 64 KiB each."""


class CheckedRow(NamedTuple):
    """A chunk that is stored, or listed as lost. `digest` and `sealed` may be None."""

    chunk_id: ChunkId
    length: int
    place: str
    generation: int
    encoded_size: int
    digest: bytes | None
    sealed: bytes | None


_ROWS: Final = (
    select(
        chunks.c.chunk_id,
        chunks.c.length,
        chunks.c.place,
        chunks.c.generation,
        chunks.c.encoded_size,
        chunks.c.stored_digest,
        chunks.c.sealed,
    )
    .select_from(
        chunks.outerjoin(
            lost_chunks,
            and_(
                lost_chunks.c.drive_id == chunks.c.drive_id,
                lost_chunks.c.chunk_id == chunks.c.chunk_id,
            ),
        )
    )
    .where(
        chunks.c.drive_id == bindparam("drive_id"),
        chunks.c.chunk_id > bindparam("after"),
        or_(chunks.c.place != "expected", lost_chunks.c.chunk_id.is_not(None)),
    )
    .order_by(chunks.c.chunk_id)
    .limit(BATCH_ROWS)
)


def load_checked_batch(connection: Connection, drive_id: DriveId, after: bytes) -> list[CheckedRow]:
    """Return the next rows behind `after`, at most BATCH_ROWS."""
    rows = connection.execute(_ROWS, {"drive_id": drive_id, "after": after})
    return [CheckedRow(*row) for row in rows.all()]


def load_generations(
    connection: Connection, drive_id: DriveId, chunk_ids: Sequence[ChunkId]
) -> dict[ChunkId, int]:
    """Return the generation that each chunk's row names, whatever its place."""
    found: dict[ChunkId, int] = {}
    for some in in_lists(chunk_ids):
        rows = connection.execute(
            select(chunks.c.chunk_id, chunks.c.generation).where(
                chunks.c.drive_id == drive_id, chunks.c.chunk_id.in_(some)
            )
        )
        found.update((row[0], row[1]) for row in rows)
    return found


def record_block(
    connection: Connection,
    drive_id: DriveId,
    chunk_id: ChunkId,
    *,
    length: int,
    encoded_size: int,
    digest: bytes,
) -> None:
    """Describe a stored block as it is."""
    connection.execute(
        update(chunks)
        .where(chunks.c.drive_id == drive_id, chunks.c.chunk_id == chunk_id)
        .values(length=length, encoded_size=encoded_size, stored_digest=digest)
    )
