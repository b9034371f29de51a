"""One page of states, for the snapshot and for the changes alike.

A snapshot is the feed from 0 without what was buried before it began. What changes while its
pages are read comes again on a later one, removals included: so the last page leaves the reader
with the drive as it is then.
"""

from sqlalchemy import Connection

from backend_server.domain.caller import Caller
from backend_server.domain.cursors import Cursor, seal_cursor
from backend_server.domain.feed_page import decide_page_cut
from backend_server.metadata.drive_rows import DriveRow
from backend_server.metadata.feed_rows import (
    FeedRange,
    load_dentry_states,
    load_highest_number,
    load_node_states,
)
from backend_server.protocol.identity import Sequence
from backend_server.protocol.tree_messages import ChangesPage, QuotaState


def load_feed_page(
    connection: Connection,
    caller: Caller,
    drive: DriveRow,
    cursor: Cursor,
    *,
    cursor_key: bytes,
    rows_max: int,
) -> ChangesPage:
    """Return the states behind `cursor`, at most `rows_max` rows, from one read transaction."""
    wanted = FeedRange(cursor.sequence, cursor.snapshot_head, rows_max + 1)
    nodes = load_node_states(connection, drive.drive_id, wanted)
    dentries = load_dentry_states(connection, drive.drive_id, wanted)
    cut = decide_page_cut(
        [node.sequence for node in nodes],
        [dentry.sequence for dentry in dentries],
        head_sequence=drive.head_sequence,
        rows_max=rows_max,
    )
    if cut.has_more:
        nodes = [node for node in nodes if node.sequence <= cut.last_sequence]
        dentries = [dentry for dentry in dentries if dentry.sequence <= cut.last_sequence]
    reached = Cursor(
        Sequence(cut.last_sequence), cursor.snapshot_head if cut.has_more else Sequence(0)
    )
    return ChangesPage(
        cursor=seal_cursor(reached, key=cursor_key, drive_id=drive.drive_id, epoch=drive.epoch),
        consistent_at=drive.head_sequence,
        has_more=cut.has_more,
        nodes=nodes,
        dentries=dentries,
        applied_through=load_highest_number(connection, drive.drive_id, caller.device_id),
        quota=QuotaState(drive.quota_limit, drive.quota_used, drive.quota_reserved),
    )
