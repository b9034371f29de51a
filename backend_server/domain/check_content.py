"""Manifests and segments, held against the ids that name them. Pure."""

from collections.abc import Collection
from dataclasses import dataclass

from backend_server.domain.findings import Finding, FindingKind
from backend_server.protocol.identity import DIGEST_BYTES
from backend_server.protocol.manifests import (
    EMPTY_MANIFEST,
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


@dataclass(frozen=True, slots=True)
class HeadDescription:
    """Content as a row describes it. `entries` are packed, empty unless they are few."""

    size_bytes: int
    charged_bytes: int
    entries: bytes


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """What a node's row says of its head, and what the rows of revision and manifest do.

    `revision_manifest` is None if there is no such revision, `manifest` if it has no row; the
    empty manifest has none. `revision_bytes` is size and charge, as the revision's row has them.
    """

    node_id: int
    revision: int
    manifest_id: bytes
    described: HeadDescription
    revision_manifest: bytes | None
    revision_bytes: tuple[int, int] | None
    manifest: HeadDescription | None


@dataclass(frozen=True, slots=True)
class HeadFault:
    """A finding, and how the node's row shall describe its head; None: that is not known."""

    finding: Finding
    right: HeadDescription | None = None


def find_head_fault(drive_id: str, head: HeadFacts) -> HeadFault | None:
    """Return what is wrong with how a node describes its head, or None. Pure.

    Entries that are what their id says are believed. Where they are in segments, two rows of three
    that agree on the size are. What is wrong with the manifest's own row is another finding.
    """
    subject = f"{head.node_id}@{head.revision}"
    if head.revision_manifest != head.manifest_id:
        sentence = (
            f"Node {head.node_id} has revision {head.revision} as its head, which is not there or "
            "has other content."
        )
        finding = Finding(FindingKind.REVISION_GONE, drive_id, subject, sentence, False)
        return HeadFault(finding)
    right = _right_description(head)
    if head.described == right or (right is None and head.manifest is None):
        return None
    sentence = f"The row of node {head.node_id} does not describe revision {head.revision} rightly."
    is_known = right is not None
    return HeadFault(Finding(FindingKind.HEAD_WRONG, drive_id, subject, sentence, is_known), right)


def _right_description(head: HeadFacts) -> HeadDescription | None:
    """Return how the head is to be described, None if that cannot be told."""
    if head.manifest_id == EMPTY_MANIFEST:
        return HeadDescription(0, 0, b"")
    for described in (head.manifest, head.described):
        if described is not None and is_manifest(head.manifest_id, described.entries):
            entries = unpack_entries(described.entries)
            return HeadDescription(size_of(entries), charged_size_of(entries), described.entries)
    if head.manifest is None or head.manifest.entries:
        return None
    sizes = [(each.size_bytes, each.charged_bytes) for each in (head.manifest, head.described)]
    if head.revision_bytes is not None and head.revision_bytes in sizes:
        return HeadDescription(*head.revision_bytes, b"")
    return HeadDescription(*sizes[0], b"") if sizes[0] == sizes[1] else None


def unstored_chunk(drive_id: str, chunk_id: bytes) -> Finding:
    """Return the finding of a chunk that a manifest names and nobody claims to have. Pure."""
    return Finding(
        FindingKind.CHUNK_UNSTORED,
        drive_id,
        chunk_id.hex(),
        f"The chunk {chunk_id.hex()} is named by content and was never stored, or forgotten.",
        True,
    )
