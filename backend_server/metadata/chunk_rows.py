"""Rows of chunks as a commit needs them: which are stored, and those that came inline."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, literal_column, select

from backend_server.domain.vault import SealedBlock
from backend_server.metadata.bulk import BulkInsert, in_lists
from backend_server.metadata.lost_rows import forget_lost
from backend_server.metadata.tables import chunks
from backend_server.protocol.identity import ChunkId, DriveId


class InlineChunk(NamedTuple):
    """A chunk whose sealed block is kept in its row. `length` is of the plaintext."""

    chunk_id: ChunkId
    length: int
    sealed: SealedBlock


_LENGTHS: Final = select(chunks.c.chunk_id, chunks.c.length).where(
    chunks.c.drive_id == bindparam("drive_id"),
    chunks.c.chunk_id.in_(bindparam("chunk_ids", expanding=True)),
    chunks.c.place != literal_column("'expected'"),
)
_STORE_INLINE: Final = BulkInsert(
    chunks, on_conflict="replace", replace_where=chunks.c.place == literal_column("'expected'")
)


def load_stored_lengths(
    connection: Connection, drive_id: DriveId, chunk_ids: Sequence[ChunkId]
) -> dict[ChunkId, int]:
    """Return the plaintext's length of those of `chunk_ids` that are stored."""
    found: dict[ChunkId, int] = {}
    for some in in_lists(chunk_ids):
        rows = connection.execute(_LENGTHS, {"drive_id": drive_id, "chunk_ids": some})
        found.update((ChunkId(row[0]), row[1]) for row in rows.all())
    return found


def store_inline_chunks(
    connection: Connection, drive_id: DriveId, inline: Iterable[InlineChunk], *, now_ms: int
) -> None:
    """Keep chunks in their rows. What is stored already stays; what was expected is here now."""
    inline = list(inline)
    _STORE_INLINE.execute(
        connection,
        [
            (
                drive_id,
                chunk.chunk_id,
                chunk.length,
                "inline",
                0,
                len(chunk.sealed.sealed),
                chunk.sealed.key_version,
                now_ms,
                chunk.sealed.stored_digest,
                chunk.sealed.sealed,
            )
            for chunk in inline
        ],
    )
    forget_lost(connection, drive_id, [chunk.chunk_id for chunk in inline])
