"""What each file's row says of its head, held against the revision and the manifest."""

from functools import partial

from sqlalchemy import Connection

from backend_server.domain.check_content import HeadDescription, find_head_fault
from backend_server.maintenance.check.surroundings import Surroundings
from backend_server.metadata.content_check_rows import describe_head, load_head_batch
from backend_server.metadata.tree_repair_rows import tell_anew
from backend_server.protocol.identity import DriveId


async def check_heads(around: Surroundings, drive_id: DriveId) -> None:
    """Look at every live file. A repair writes what the manifest says: before quotas are summed."""
    after = 0
    while True:
        heads = await around.database.read(partial(load_head_batch, drive_id=drive_id, after=after))
        if not heads:
            return
        for head in heads:
            fault = find_head_fault(drive_id, head)
            if fault is None:
                continue
            is_repaired = False
            if around.options.is_repairing and fault.right is not None:
                await around.database.write(
                    partial(
                        _repair,
                        drive_id=drive_id,
                        node_id=head.node_id,
                        right=fault.right,
                        now_ms=around.clock_ms(),
                    )
                )
                is_repaired = True
            around.report.add(fault.finding, is_repaired=is_repaired)
        around.progress.advance(len(heads))
        after = heads[-1].node_id


def _repair(
    connection: Connection,
    *,
    drive_id: DriveId,
    node_id: int,
    right: HeadDescription,
    now_ms: int,
) -> None:
    describe_head(connection, drive_id, node_id, right)
    # Devices may have taken over the wrong one.
    tell_anew(connection, drive_id, node_id, now_ms=now_ms)
