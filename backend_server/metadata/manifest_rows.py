"""Rows of manifests and segments, and which revision has which manifest."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, select

from backend_server.domain.proposals import NewManifest
from backend_server.metadata.bulk import BulkInsert, in_lists, select_by_pairs
from backend_server.metadata.lost_rows import has_lost_chunks, load_lost_among
from backend_server.metadata.tables import manifests, segments
from backend_server.protocol.identity import DIGEST_BYTES, ChunkId, DriveId, ManifestId
from backend_server.protocol.limits import EMBEDDED_ENTRIES_MAX
from backend_server.protocol.manifests import (
    EMPTY_MANIFEST,
    chunk_ids_in,
    cut_segments,
    pack_entries,
    segment_id_of,
)


class ManifestRow(NamedTuple):
    """A manifest that the drive has. `entries` are packed, empty when they are in segments."""

    manifest_id: ManifestId
    size_bytes: int
    charged_bytes: int
    entry_count: int
    entries: bytes
    segment_ids: bytes


_MANIFESTS: Final = select(
    manifests.c.manifest_id,
    manifests.c.size_bytes,
    manifests.c.charged_bytes,
    manifests.c.entry_count,
    manifests.c.entries,
    manifests.c.segment_ids,
).where(
    manifests.c.drive_id == bindparam("drive_id"),
    manifests.c.manifest_id.in_(bindparam("manifest_ids", expanding=True)),
)
_SEGMENTS: Final = select(segments.c.segment_id, segments.c.entries).where(
    segments.c.drive_id == bindparam("drive_id"),
    segments.c.segment_id.in_(bindparam("segment_ids", expanding=True)),
)
_REVISIONS: Final = """
    WITH wanted (node_id, revision) AS {wanted}
    SELECT r.node_id, r.revision, r.manifest_id
    FROM wanted AS w CROSS JOIN revisions AS r
    WHERE r.drive_id = {first} AND r.node_id = w.node_id AND r.revision = w.revision
"""
_STORE_MANIFESTS: Final = BulkInsert(manifests, on_conflict="keep")
_STORE_SEGMENTS: Final = BulkInsert(segments, on_conflict="keep")


def load_manifests(
    connection: Connection, drive_id: DriveId, manifest_ids: Iterable[bytes]
) -> dict[bytes, ManifestRow]:
    """Return those of `manifest_ids` that the drive has. The empty manifest is no row."""
    found: dict[bytes, ManifestRow] = {}
    for some in in_lists([manifest_id for manifest_id in manifest_ids if manifest_id]):
        rows = connection.execute(_MANIFESTS, {"drive_id": drive_id, "manifest_ids": some})
        found.update((row[0], ManifestRow(*row)) for row in rows.all())
    return found


def load_packed_entries(
    connection: Connection, drive_id: DriveId, rows: Iterable[ManifestRow]
) -> dict[bytes, bytes]:
    """Return the packed entries of each manifest, those of long ones from their segments.

    A manifest whose segments are not all there any more is left out.
    """
    rows = list(rows)
    wanted = {segment_id for row in rows for segment_id in _segment_ids(row)}
    runs: dict[bytes, bytes] = {}
    for some in in_lists(list(wanted)):
        answer = connection.execute(_SEGMENTS, {"drive_id": drive_id, "segment_ids": some})
        runs.update((row[0], row[1]) for row in answer.all())
    return {
        row.manifest_id: row.entries or b"".join(runs[each] for each in _segment_ids(row))
        for row in rows
        if runs.keys() >= set(_segment_ids(row))
    }


def load_lost_of_manifests(
    connection: Connection, drive_id: DriveId, manifest_ids: Iterable[bytes]
) -> dict[bytes, dict[ChunkId, int]]:
    """Return which chunks of each manifest are lost, to their lengths; those of none are left out.

    Cheap as long as nothing of the drive is lost. Otherwise each manifest is read whole, one at a
    time: 40 bytes for each chunk of its file; 14 ms for 10 GB of a drive that lost fifty chunks.
    """
    wanted = set(manifest_ids)
    if not wanted or not has_lost_chunks(connection, drive_id):
        return {}
    lost_of: dict[bytes, dict[ChunkId, int]] = {}
    for row in load_manifests(connection, drive_id, wanted).values():
        packed = load_packed_entries(connection, drive_id, [row]).get(row.manifest_id, b"")
        lost = load_lost_among(connection, drive_id, list(chunk_ids_in(packed)))
        if lost:
            lost_of[row.manifest_id] = lost
    return lost_of


def load_revision_manifests(
    connection: Connection, drive_id: DriveId, revisions: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], ManifestId]:
    """Return the manifest of each (node, revision) that the drive has.

    This is what a right to content is checked by: whoever sees the node may have its revisions.
    """
    rows = select_by_pairs(connection, _REVISIONS, drive_id, list(dict.fromkeys(revisions)))
    return {(row[0], row[1]): ManifestId(row[2]) for row in rows}


def load_revision_entries(
    connection: Connection, drive_id: DriveId, revisions: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], bytes]:
    """Return the packed entries of each (node, revision) that the drive has."""
    manifest_of = load_revision_manifests(connection, drive_id, revisions)
    rows = load_manifests(connection, drive_id, set(manifest_of.values()))
    packed = load_packed_entries(connection, drive_id, rows.values())
    packed[EMPTY_MANIFEST] = b""
    return {
        revision: packed[manifest_id]
        for revision, manifest_id in manifest_of.items()
        if manifest_id in packed
    }


def store_manifests(connection: Connection, drive_id: DriveId, new: Iterable[NewManifest]) -> None:
    """Write manifests and their segments; what the drive has already stays. Idempotent."""
    manifest_rows: list[tuple[object, ...]] = []
    segment_rows: list[tuple[object, ...]] = []
    for manifest in new:
        packed = segment_ids = b""
        if len(manifest.entries) <= EMBEDDED_ENTRIES_MAX:
            packed = pack_entries(manifest.entries)
        else:
            for run in cut_segments(manifest.entries):
                packed_run = pack_entries(run)
                segment_id = segment_id_of(packed_run)
                segment_ids += segment_id
                segment_rows.append((drive_id, segment_id, packed_run))
        manifest_rows.append(
            (
                drive_id,
                manifest.manifest_id,
                manifest.size_bytes,
                manifest.charged_bytes,
                len(manifest.entries),
                packed,
                segment_ids,
            )
        )
    _STORE_SEGMENTS.execute(connection, segment_rows)
    _STORE_MANIFESTS.execute(connection, manifest_rows)


def _segment_ids(row: ManifestRow) -> list[bytes]:
    joined = row.segment_ids
    return [joined[at : at + DIGEST_BYTES] for at in range(0, len(joined), DIGEST_BYTES)]
