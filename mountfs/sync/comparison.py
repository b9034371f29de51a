"""What the mirror would be by the feed, and what it is by a snapshot: two ways to one moment."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from backend_server.protocol.identity import DriveId
from backend_server.protocol.tree_messages import NodeKind
from mountfs.core.mirror_laws import Key
from mountfs.errors import CursorReset
from mountfs.state.records import NodeRecord, record_of
from mountfs.sync.feed import FeedSource, Progress, Pulled, pull_changes, pull_snapshot

ROUNDS_MAX: Final = 8
"""Both ways are followed until they meet; on a drive that never rests they may not."""


class Comparable(NamedTuple):
    """Two trees as of one cursor."""

    nodes: dict[int, NodeRecord]
    dentries: dict[Key, int]
    true_nodes: dict[int, NodeRecord]
    true_dentries: dict[Key, int]


async def fetch_comparable(
    source: FeedSource,
    drive_id: DriveId,
    *,
    cursor: str,
    nodes: Mapping[int, NodeRecord],
    dentries: Mapping[Key, int],
) -> Comparable | None:
    """Return the mirror as of `cursor` brought to where the server is, and the server's own word.

    None if that cannot be said: the cursor does not hold any more, or the drive does not rest.
    Changes nothing. Raises `Unavailable`, `Refused`.
    """
    fresh = await pull_snapshot(source, drive_id)
    behind = Pulled(Progress(cursor))
    try:
        await pull_changes(source, drive_id, behind)
    except CursorReset:
        return None
    for _ in range(ROUNDS_MAX):
        if behind.cursor == fresh.cursor:
            return Comparable(
                *_applied(dict(nodes), dict(dentries), behind), *_applied({}, {}, fresh)
            )
        await pull_changes(source, drive_id, fresh)
        await pull_changes(source, drive_id, behind)
    return None


def _applied(
    nodes: dict[int, NodeRecord], dentries: dict[Key, int], pulled: Pulled
) -> tuple[dict[int, NodeRecord], dict[Key, int]]:
    """Return a tree with the states of a feed put into it, as `Mirror.apply` does."""
    for state in pulled.nodes.values():
        if state.kind is NodeKind.REMOVED:
            nodes.pop(state.node_id, None)
        else:
            nodes[state.node_id] = record_of(state)
    for key, dentry in pulled.dentries.items():
        if dentry.node_id:
            dentries[key] = dentry.node_id
        else:
            dentries.pop(key, None)
    return nodes, dentries
