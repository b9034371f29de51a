"""Rows of lost chunks: what a device may bring back. A row goes when its chunk is stored again."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Integer, Select, bindparam, delete, func, literal_column, select

from backend_server.metadata.bulk import BulkInsert, in_lists
from backend_server.metadata.tables import lost_chunks
from backend_server.protocol.identity import ChunkId, DriveId


class LostChunk(NamedTuple):
    """A chunk that is lost, and one revision that names it. `length` is of the plaintext."""

    chunk_id: ChunkId
    length: int
    node_id: int
    revision: int


_ANY: Final[Select[Any]] = (
    select(literal_column("1", Integer))
    .where(lost_chunks.c.drive_id == bindparam("drive_id"))
    .limit(1)
)
_PAGE: Final = (
    select(
        lost_chunks.c.chunk_id,
        lost_chunks.c.length,
        lost_chunks.c.node_id,
        lost_chunks.c.revision,
    )
    .where(
        lost_chunks.c.drive_id == bindparam("drive_id"),
        lost_chunks.c.chunk_id > bindparam("after"),
    )
    .order_by(lost_chunks.c.chunk_id)
    .limit(bindparam("count_max"))
)
_AT_HAND_MAX: Final = 1000
"""Fewer lost chunks than that are read, rather than more chunks than that asked about."""
_LIST: Final = BulkInsert(lost_chunks, on_conflict="keep")


def has_lost_chunks(connection: Connection, drive_id: DriveId) -> bool:
    """Whether anything of the drive is lost: rarely, and asked by every commit."""
    return connection.execute(_ANY, {"drive_id": drive_id}).first() is not None


def count_lost(connection: Connection, drive_id: DriveId) -> int:
    """Return how many chunks of the drive are lost."""
    count = connection.scalar(
        select(func.count()).select_from(lost_chunks).where(lost_chunks.c.drive_id == drive_id)
    )
    return int(count or 0)


def load_lost_page(
    connection: Connection, drive_id: DriveId, after: bytes, *, count_max: int
) -> list[LostChunk]:
    """Return at most `count_max` lost chunks whose id is above `after`, by id."""
    rows = connection.execute(_PAGE, {"drive_id": drive_id, "after": after, "count_max": count_max})
    return [LostChunk(*row) for row in rows.all()]


def load_lost_among(
    connection: Connection, drive_id: DriveId, chunk_ids: Sequence[ChunkId]
) -> dict[ChunkId, int]:
    """Return those of `chunk_ids` that are listed as lost, to the lengths of their plaintexts."""
    if len(chunk_ids) > _AT_HAND_MAX:
        listed = load_lost_page(connection, drive_id, b"", count_max=_AT_HAND_MAX + 1)
        if len(listed) <= _AT_HAND_MAX:
            wanted = set(chunk_ids)
            return {each.chunk_id: each.length for each in listed if each.chunk_id in wanted}
    found: dict[ChunkId, int] = {}
    for some in in_lists(chunk_ids):
        rows = connection.execute(
            select(lost_chunks.c.chunk_id, lost_chunks.c.length).where(
                lost_chunks.c.drive_id == drive_id, lost_chunks.c.chunk_id.in_(some)
            )
        )
        found.update((row[0], row[1]) for row in rows)
    return found


def list_lost(
    connection: Connection, drive_id: DriveId, lost: Iterable[LostChunk], *, now_ms: int
) -> None:
    """Say that chunks are lost. Those that are listed already stay as they are."""
    _LIST.execute(
        connection,
        [
            (drive_id, chunk.chunk_id, chunk.length, chunk.node_id, chunk.revision, now_ms)
            for chunk in lost
        ],
    )


def forget_lost(connection: Connection, drive_id: DriveId, chunk_ids: Iterable[ChunkId]) -> None:
    """Say of chunks, which are stored now, that they are lost no more."""
    wanted = list(chunk_ids)
    if not wanted or not has_lost_chunks(connection, drive_id):
        return
    for some in in_lists(wanted):
        connection.execute(
            delete(lost_chunks).where(
                lost_chunks.c.drive_id == drive_id, lost_chunks.c.chunk_id.in_(some)
            )
        )
