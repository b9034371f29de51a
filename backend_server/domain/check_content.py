"""Manifests and segments, held against the ids that name them. Pure."""

from collections.abc import Collection

from backend_server.domain.findings import Finding, FindingKind
from backend_server.protocol.identity import DIGEST_BYTES
from backend_server.protocol.manifests import (
    Entry,
    ManifestMalformed,
    charged_size_of,
    manifest_id_of,
    manifest_id_of_segments,
    segment_id_of,
    size_of,
    unpack_entries,
)


def split_ids(joined: bytes) -> list[bytes]:
    """Return the ids that `joined` is made of; the last is short if it was cut. Pure."""
    return [joined[at : at + DIGEST_BYTES] for at in range(0, len(joined), DIGEST_BYTES)]


def entries_of_embedded(
    manifest_id: bytes, packed: bytes, *, size_bytes: int, charged_bytes: int, entry_count: int
) -> list[Entry] | None:
    """Return the entries of a manifest that is whole in its row, None if they are not it. Pure."""
    try:
        entries = unpack_entries(packed)
    except ManifestMalformed:
        return None
    is_right = (
        manifest_id_of(entries) == manifest_id
        and size_of(entries) == size_bytes
        and charged_size_of(entries) == charged_bytes
        and len(entries) == entry_count
    )
    return entries if is_right else None


def entries_of_segment(segment_id: bytes, packed: bytes) -> list[Entry] | None:
    """Return the entries of a segment, None if they are not what its id says. Pure."""
    if segment_id_of(packed) != segment_id:
        return None
    try:
        return unpack_entries(packed)
    except ManifestMalformed:
        return None


def find_segmented_fault(
    drive_id: str, manifest_id: bytes, segment_ids: bytes, present: Collection[bytes]
) -> Finding | None:
    """Return what is wrong with a manifest that is in segments, or None. Pure.

    `present`: those of its segments that the drive has.
    """
    ids = split_ids(segment_ids)
    if not ids or manifest_id_of_segments(ids) != manifest_id:
        return damaged_manifest(drive_id, manifest_id)
    missing = [segment_id for segment_id in ids if segment_id not in present]
    if missing:
        return Finding(
            FindingKind.SEGMENT_GONE,
            drive_id,
            missing[0].hex(),
            f"{len(missing)} of {len(ids)} segments of manifest {manifest_id.hex()} are gone: "
            "what has this content cannot be read.",
            False,
        )
    return None


def damaged_manifest(drive_id: str, manifest_id: bytes) -> Finding:
    """Return the finding of a manifest whose row is not what its id says. Pure."""
    return Finding(
        FindingKind.MANIFEST_DAMAGED,
        drive_id,
        manifest_id.hex(),
        f"The manifest {manifest_id.hex()} is not what its id says: what has this content cannot "
        "be read.",
        False,
    )


def damaged_segment(drive_id: str, segment_id: bytes) -> Finding:
    """Return the finding of a segment whose row is not what its id says. Pure."""
    return Finding(
        FindingKind.SEGMENT_DAMAGED,
        drive_id,
        segment_id.hex(),
        f"The segment {segment_id.hex()} is not what its id says: files that share it cannot be "
        "read.",
        False,
    )


def gone_manifest(
    drive_id: str, node_id: int, revision: int, manifest_id: bytes, embedded: bytes
) -> Finding:
    """Return the finding of a revision whose manifest has no row. Pure.

    `embedded`: packed entries that the node's own row has, if the revision is its head. They are
    as good as the manifest, if they are it.
    """
    return Finding(
        FindingKind.MANIFEST_GONE,
        drive_id,
        f"{node_id}@{revision}",
        f"Revision {revision} of node {node_id} has no manifest.",
        is_manifest(manifest_id, embedded),
    )


def is_manifest(manifest_id: bytes, packed: bytes) -> bool:
    """Whether packed entries are the manifest of that id. Pure."""
    try:
        return bool(packed) and manifest_id_of(unpack_entries(packed)) == manifest_id
    except ManifestMalformed:
        return False


def gone_revision(drive_id: str, node_id: int, revision: int) -> Finding:
    """Return the finding of a head that is not in the list of revisions. Pure."""
    return Finding(
        FindingKind.REVISION_GONE,
        drive_id,
        f"{node_id}@{revision}",
        f"Node {node_id} has revision {revision} as its head, which is not there or another.",
        False,
    )


def unstored_chunk(drive_id: str, chunk_id: bytes) -> Finding:
    """Return the finding of a chunk that a manifest names and nobody claims to have. Pure."""
    return Finding(
        FindingKind.CHUNK_UNSTORED,
        drive_id,
        chunk_id.hex(),
        f"The chunk {chunk_id.hex()} is named by content and was never stored, or forgotten.",
        True,
    )
