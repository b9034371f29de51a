"""Which content names the chunks that were lost: what devices are asked to bring back."""

from collections.abc import Iterable
from functools import partial
from typing import Final

from sqlalchemy import Connection

from backend_server.domain.check_content import split_ids
from backend_server.domain.lost_witnesses import Witnesses
from backend_server.maintenance.check.surroundings import Surroundings
from backend_server.metadata.content_check_rows import (
    iterate_manifests,
    iterate_revisions,
    iterate_segments,
)
from backend_server.metadata.lost_rows import LostChunk, list_lost
from backend_server.protocol.identity import ChunkId, DriveId
from backend_server.protocol.manifests import ManifestMalformed, unpack_entries

AT_ONCE_MAX: Final = 20_000
"""Chunks that are looked for in one walk over the drive's content."""


class Losses:
    """Gathers lost chunks of one drive, and lists those that content names."""

    def __init__(self, around: Surroundings, drive_id: DriveId) -> None:
        self._around = around
        self._drive_id = drive_id
        self._chunk_ids: set[ChunkId] = set()

    async def add(self, chunk_ids: Iterable[ChunkId]) -> None:
        """Take more lost chunks."""
        self._chunk_ids.update(chunk_ids)
        if len(self._chunk_ids) >= AT_ONCE_MAX:
            await self.list_all()

    async def list_all(self) -> None:
        """List what was taken. Durable on return. What no content names is lost to nobody."""
        if not self._chunk_ids:
            return
        wanted, self._chunk_ids = self._chunk_ids, set()
        lost = await self._around.database.read(
            partial(_load_lost, drive_id=self._drive_id, wanted=wanted)
        )
        await self._around.database.write(
            partial(list_lost, drive_id=self._drive_id, lost=lost, now_ms=self._around.clock_ms())
        )


def _load_lost(
    connection: Connection, *, drive_id: DriveId, wanted: set[ChunkId]
) -> list[LostChunk]:
    witnesses = Witnesses(wanted)
    for segments in iterate_segments(connection, drive_id):
        for segment in segments:
            try:
                witnesses.see_segment(segment.segment_id, unpack_entries(segment.entries))
            except ManifestMalformed:
                continue  # A finding of its own.
    for manifests in iterate_manifests(connection, drive_id):
        for manifest in manifests:
            try:
                entries = unpack_entries(manifest.entries)
            except ManifestMalformed:
                continue
            witnesses.see_manifest(manifest.manifest_id, entries, split_ids(manifest.segment_ids))
    for revisions in iterate_revisions(connection, drive_id):
        for row in revisions:
            witnesses.see_revision(row.node_id, row.revision, row.manifest_id, is_head=row.is_head)
    return [
        LostChunk(chunk_id, witness.length, witness.node_id, witness.revision)
        for chunk_id, witness in witnesses.found.items()
    ]
