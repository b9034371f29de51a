"""Manifests and segments of a drive, and the chunks that they name.

Every row is looked at once, however many revisions share it: a segment for itself, a manifest for
its segments.
"""

from collections.abc import Iterable
from functools import partial
from typing import Final, NamedTuple

from sqlalchemy import Connection

from backend_server.domain.check_content import (
    damaged_manifest,
    damaged_segment,
    entries_of_embedded,
    entries_of_segment,
    find_segmented_fault,
    split_ids,
    unstored_chunk,
)
from backend_server.domain.findings import Finding
from backend_server.maintenance.check.losses import Losses
from backend_server.maintenance.check.surroundings import Surroundings
from backend_server.metadata.chunk_rows import load_stored_lengths
from backend_server.metadata.content_check_rows import (
    load_manifest_batch,
    load_present_segments,
    load_segment_batch,
)
from backend_server.metadata.lost_rows import load_lost_among
from backend_server.protocol.identity import ChunkId, DriveId
from backend_server.protocol.manifests import HOLE, Entry

UNSTORED_KNOWN_MAX: Final = 100_000
"""Chunks that are remembered, so that each is found once; of more, some are counted again."""


class _Batch(NamedTuple):
    """What one batch of rows says. `last`: the key to go on behind; empty at the end."""

    findings: list[Finding]
    unstored: list[ChunkId]
    last: bytes
    row_count: int


async def check_content(around: Surroundings, drive_id: DriveId) -> None:
    """Hold segments and manifests against their ids, and chunks against their rows.

    A repair lists what is not stored as lost.
    """
    losses = Losses(around, drive_id)
    seen: set[ChunkId] = set()
    for load in (_load_segments, _load_manifests):
        after = b""
        while True:
            batch = await around.database.read(partial(load, drive_id=drive_id, after=after))
            for finding in batch.findings:
                around.report.add(finding)
            new = [chunk_id for chunk_id in batch.unstored if chunk_id not in seen]
            if len(seen) < UNSTORED_KNOWN_MAX:
                seen.update(new)
            for chunk_id in new:
                around.report.add(
                    unstored_chunk(drive_id, chunk_id), is_repaired=around.options.is_repairing
                )
            if around.options.is_repairing:
                await losses.add(new)
            around.progress.advance(batch.row_count)
            if not batch.last:
                break
            after = batch.last
    await losses.list_all()


def _load_segments(connection: Connection, *, drive_id: DriveId, after: bytes) -> _Batch:
    rows = load_segment_batch(connection, drive_id, after)
    findings: list[Finding] = []
    named: set[ChunkId] = set()
    for row in rows:
        entries = entries_of_segment(row.segment_id, row.entries)
        if entries is None:
            findings.append(damaged_segment(drive_id, row.segment_id))
        else:
            named |= _chunks_of(entries)
    unstored = _load_unstored(connection, drive_id, named)
    return _Batch(findings, unstored, rows[-1].segment_id if rows else b"", len(rows))


def _load_manifests(connection: Connection, *, drive_id: DriveId, after: bytes) -> _Batch:
    rows = load_manifest_batch(connection, drive_id, after)
    findings: list[Finding] = []
    named: set[ChunkId] = set()
    segment_ids = {each for row in rows for each in split_ids(row.segment_ids)}
    present = load_present_segments(connection, drive_id, segment_ids)
    for row in rows:
        if row.segment_ids:
            fault = find_segmented_fault(drive_id, row.manifest_id, row.segment_ids, present)
            if fault is not None:
                findings.append(fault)
            continue
        entries = entries_of_embedded(
            row.manifest_id,
            row.entries,
            size_bytes=row.size_bytes,
            charged_bytes=row.charged_bytes,
            entry_count=row.entry_count,
        )
        if entries is None:
            findings.append(damaged_manifest(drive_id, row.manifest_id))
        else:
            named |= _chunks_of(entries)
    unstored = _load_unstored(connection, drive_id, named)
    return _Batch(findings, unstored, rows[-1].manifest_id if rows else b"", len(rows))


def _chunks_of(entries: Iterable[Entry]) -> set[ChunkId]:
    return {entry.chunk_id for entry in entries} - {HOLE}


def _load_unstored(connection: Connection, drive_id: DriveId, named: set[ChunkId]) -> list[ChunkId]:
    """Return those of `named` that are not stored, and not known to be lost, by id."""
    unstored = named - load_stored_lengths(connection, drive_id, list(named)).keys()
    return sorted(unstored - load_lost_among(connection, drive_id, list(unstored)).keys())
