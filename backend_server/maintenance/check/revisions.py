"""Every revision has its manifest."""

from functools import partial

from backend_server.domain.check_content import gone_manifest
from backend_server.maintenance.check.surroundings import Surroundings
from backend_server.metadata.content_check_rows import (
    RevisionRow,
    load_revision_batch,
    store_embedded_manifest,
)
from backend_server.protocol.identity import DriveId


async def check_revisions(around: Surroundings, drive_id: DriveId) -> None:
    """Look for the manifest of every revision. A repair makes one again that its node still has:
    before anything asks which content names a chunk.
    """
    after = (0, -1)
    while True:
        rows = await around.database.read(
            partial(load_revision_batch, drive_id=drive_id, after=after)
        )
        if not rows:
            return
        for row in rows:
            if not row.has_manifest:
                await _found_gone(around, drive_id, row)
        around.progress.advance(len(rows))
        after = (rows[-1].node_id, rows[-1].revision)


async def _found_gone(around: Surroundings, drive_id: DriveId, row: RevisionRow) -> None:
    finding = gone_manifest(drive_id, row.node_id, row.revision, row.manifest_id, row.embedded)
    is_repaired = around.options.is_repairing and finding.is_repairable
    if is_repaired:
        await around.database.write(
            partial(
                store_embedded_manifest,
                drive_id=drive_id,
                manifest_id=row.manifest_id,
                packed=row.embedded,
            )
        )
    around.report.add(finding, is_repaired=is_repaired)
