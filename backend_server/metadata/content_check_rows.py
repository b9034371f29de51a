"""Rows of content as a check needs them: each row once, in order of its key, a batch at a time."""

from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, and_, bindparam, func, select, tuple_, update

from backend_server.domain.check_content import HeadDescription, HeadFacts
from backend_server.metadata.bulk import BulkInsert, in_lists
from backend_server.metadata.manifest_rows import ManifestRow
from backend_server.metadata.tables import manifests, nodes, revisions, segments
from backend_server.protocol.identity import DriveId
from backend_server.protocol.manifests import charged_size_of, size_of, unpack_entries
from backend_server.protocol.tree_messages import NodeKind

BATCH_ROWS: Final = 500


class SegmentRow(NamedTuple):
    segment_id: bytes
    entries: bytes


class RevisionRow(NamedTuple):
    """A revision. `has_manifest`: the drive has the row of it, or it is the empty one.

    `embedded`: the entries in the node's own row, if this is its head; else empty.
    """

    node_id: int
    revision: int
    manifest_id: bytes
    has_manifest: bool
    is_head: bool
    embedded: bytes


_MANIFESTS: Final = (
    select(
        manifests.c.manifest_id,
        manifests.c.size_bytes,
        manifests.c.charged_bytes,
        manifests.c.entry_count,
        manifests.c.entries,
        manifests.c.segment_ids,
    )
    .where(
        manifests.c.drive_id == bindparam("drive_id"), manifests.c.manifest_id > bindparam("after")
    )
    .order_by(manifests.c.manifest_id)
    .limit(BATCH_ROWS)
)
_SEGMENTS: Final = (
    select(segments.c.segment_id, segments.c.entries)
    .where(segments.c.drive_id == bindparam("drive_id"), segments.c.segment_id > bindparam("after"))
    .order_by(segments.c.segment_id)
    .limit(BATCH_ROWS)
)
_HEAD: Final = and_(
    nodes.c.drive_id == revisions.c.drive_id,
    nodes.c.node_id == revisions.c.node_id,
    nodes.c.revision == revisions.c.revision,
    nodes.c.kind != NodeKind.REMOVED.value,
)
_REVISIONS: Final = (
    select(
        revisions.c.node_id,
        revisions.c.revision,
        revisions.c.manifest_id,
        (manifests.c.manifest_id.is_not(None)) | (revisions.c.manifest_id == b""),
        nodes.c.node_id.is_not(None),
        func.coalesce(nodes.c.entries, b""),
    )
    .select_from(
        revisions.outerjoin(
            manifests,
            and_(
                manifests.c.drive_id == revisions.c.drive_id,
                manifests.c.manifest_id == revisions.c.manifest_id,
            ),
        ).outerjoin(nodes, _HEAD)
    )
    .where(
        revisions.c.drive_id == bindparam("drive_id"),
        tuple_(revisions.c.node_id, revisions.c.revision)
        > tuple_(bindparam("after_node"), bindparam("after_revision")),
    )
    .order_by(revisions.c.node_id, revisions.c.revision)
    .limit(BATCH_ROWS)
)
_HEADS: Final = (
    select(
        nodes.c.node_id,
        nodes.c.revision,
        nodes.c.manifest_id,
        nodes.c.size_bytes,
        nodes.c.charged_bytes,
        nodes.c.entries,
        revisions.c.manifest_id,
        revisions.c.size_bytes,
        revisions.c.charged_bytes,
        manifests.c.size_bytes,
        manifests.c.charged_bytes,
        manifests.c.entries,
    )
    .select_from(
        nodes.outerjoin(
            revisions,
            and_(
                revisions.c.drive_id == nodes.c.drive_id,
                revisions.c.node_id == nodes.c.node_id,
                revisions.c.revision == nodes.c.revision,
            ),
        ).outerjoin(
            manifests,
            and_(
                manifests.c.drive_id == nodes.c.drive_id,
                manifests.c.manifest_id == nodes.c.manifest_id,
            ),
        )
    )
    .where(
        nodes.c.drive_id == bindparam("drive_id"),
        nodes.c.node_id > bindparam("after"),
        nodes.c.kind != NodeKind.REMOVED.value,
        nodes.c.revision != 0,
    )
    .order_by(nodes.c.node_id)
    .limit(BATCH_ROWS)
)
_STORE_MANIFEST: Final = BulkInsert(manifests, on_conflict="keep")


def load_manifest_batch(
    connection: Connection, drive_id: DriveId, after: bytes
) -> list[ManifestRow]:
    """Return the next manifests behind `after`, at most BATCH_ROWS."""
    rows = connection.execute(_MANIFESTS, {"drive_id": drive_id, "after": after})
    return [ManifestRow(*row) for row in rows.all()]


def load_segment_batch(connection: Connection, drive_id: DriveId, after: bytes) -> list[SegmentRow]:
    """Return the next segments behind `after`, at most BATCH_ROWS."""
    rows = connection.execute(_SEGMENTS, {"drive_id": drive_id, "after": after})
    return [SegmentRow(*row) for row in rows.all()]


def load_present_segments(
    connection: Connection, drive_id: DriveId, segment_ids: Collection[bytes]
) -> set[bytes]:
    """Return those of `segment_ids` that the drive has."""
    present: set[bytes] = set()
    for some in in_lists(list(segment_ids)):
        present.update(
            connection.scalars(
                select(segments.c.segment_id).where(
                    segments.c.drive_id == drive_id, segments.c.segment_id.in_(some)
                )
            )
        )
    return present


def load_revision_batch(
    connection: Connection, drive_id: DriveId, after: tuple[int, int]
) -> list[RevisionRow]:
    """Return the next revisions behind (node, revision), at most BATCH_ROWS."""
    rows = connection.execute(
        _REVISIONS, {"drive_id": drive_id, "after_node": after[0], "after_revision": after[1]}
    )
    return [RevisionRow(row[0], row[1], row[2], bool(row[3]), bool(row[4]), row[5]) for row in rows]


def load_head_batch(connection: Connection, drive_id: DriveId, after: int) -> list[HeadFacts]:
    """Return the next live files behind node `after` that have content, at most BATCH_ROWS."""
    rows = connection.execute(_HEADS, {"drive_id": drive_id, "after": after})
    return [
        HeadFacts(
            row[0],
            row[1],
            row[2],
            HeadDescription(row[3], row[4], row[5]),
            row[6],
            None if row[7] is None else (row[7], row[8]),
            None if row[9] is None else HeadDescription(row[9], row[10], row[11]),
        )
        for row in rows.all()
    ]


def describe_head(
    connection: Connection, drive_id: DriveId, node_id: int, right: HeadDescription
) -> None:
    """Write how a node's row describes its head."""
    connection.execute(
        update(nodes)
        .where(nodes.c.drive_id == drive_id, nodes.c.node_id == node_id)
        .values(
            size_bytes=right.size_bytes,
            charged_bytes=right.charged_bytes,
            entries=right.entries,
        )
    )


def store_embedded_manifest(
    connection: Connection, drive_id: DriveId, manifest_id: bytes, packed: bytes
) -> None:
    """Make the row of a manifest from the entries that its node has."""
    entries = unpack_entries(packed)
    row = (
        drive_id,
        manifest_id,
        size_of(entries),
        charged_size_of(entries),
        len(entries),
        packed,
        b"",
    )
    _STORE_MANIFEST.execute(connection, [row])


def iterate_segments(connection: Connection, drive_id: DriveId) -> Iterator[Sequence[SegmentRow]]:
    """Yield all segments of a drive, in batches."""
    after = b""
    while batch := load_segment_batch(connection, drive_id, after):
        yield batch
        after = batch[-1].segment_id


def iterate_manifests(connection: Connection, drive_id: DriveId) -> Iterator[Sequence[ManifestRow]]:
    """Yield all manifests of a drive, in batches."""
    after = b""
    while batch := load_manifest_batch(connection, drive_id, after):
        yield batch
        after = batch[-1].manifest_id


def iterate_revisions(connection: Connection, drive_id: DriveId) -> Iterator[Sequence[RevisionRow]]:
    """Yield all revisions of a drive, in batches."""
    after = (0, -1)
    while batch := load_revision_batch(connection, drive_id, after):
        yield batch
        after = (batch[-1].node_id, batch[-1].revision)
