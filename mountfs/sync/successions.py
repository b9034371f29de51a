"""Carries out what `core.succession` recognised, in the tree that is about to be planned."""

from collections.abc import Sequence, Set

from backend_server.protocol.tree_messages import NodeKind
from mountfs.core.conflict_mark import NO_CONFLICT
from mountfs.core.succession import Key, Swap, Takeover, recognise
from mountfs.state.local_changes import LocalChanges
from mountfs.state.meeting import Met
from mountfs.state.overlay import Overlay
from mountfs.state.records import LocalDentry, NodeRecord
from mountfs.state.store import StateStore
from mountfs.state.tree import source_of

_PASSES_MAX = 4
"""A swap can leave a takeover behind; whatever is left after so many is a plain rename."""


class _Facts:
    def __init__(self, state: StateStore, left_alone: Set[int]) -> None:
        self._state = state
        self._left_alone = left_alone

    def is_regular(self, node_id: int) -> bool:
        record = self._state.tree.node(node_id)
        return record is not None and record.kind == NodeKind.FILE

    def is_created_here(self, node_id: int) -> bool:
        node = self._state.changes.nodes.get(node_id)
        return node is not None and node.is_created

    def is_settled(self, node_id: int) -> bool:
        return node_id not in self._state.parking.codes and node_id not in self._left_alone

    def places_here(self, node_id: int) -> Sequence[Key]:
        return self._state.tree.places(node_id)

    def places_on_server(self, node_id: int) -> Sequence[Key]:
        return self._state.mirror.places(node_id)


def apply_successions(
    state: StateStore, *, left_alone: Set[int] = frozenset(), met: Met | None = None
) -> int:
    """Let old nodes live on with what was saved over them. Returns how many did.

    Nothing may be in flight. What programs see stays as it is: names, bytes, attributes and
    inodes; only which node is behind an inode changes. One transaction.

    Args:
        left_alone: Nodes that the mirror does not show as they were settled: what they have
            would be taken from there. The next call takes care of them.
        met: Only what this may concern has to be looked at now.
    """
    count = 0
    for _ in range(_PASSES_MAX):
        candidates = state.changes.replacing()
        if met is not None:
            candidates = [row for row in candidates if _is_met(row, met)]
        found = recognise(candidates, _Facts(state, left_alone)) if candidates else []
        if not found:
            break
        count += len(found)
        with state.database.transaction():
            for succession in found:
                match succession:
                    case Takeover():
                        _take_over(state, succession)
                    case Swap():
                        _swap(state, succession)
    return count


def _is_met(row: LocalDentry, met: Met) -> bool:
    return row.key in met.dentries or any(
        node_id in met.present or node_id in met.removed for node_id in (row.expected, row.node_id)
    )


def _take_over(state: StateStore, takeover: Takeover) -> None:
    old = state.mirror.node(takeover.old)
    new = state.tree.node(takeover.new)
    assert old is not None and new is not None
    seen = state.disputes.base_revision(old.node_id, old.revision)
    _move_content(state, new, old.node_id, expected_revision=seen)
    state.changes.drop_dentry(takeover.key)
    state.changes.drop_node(new.node_id)
    _adopt_attributes(state, old, new)
    # The new node may yet stay: when others edited it, the server does not take its removal.
    state.inodes.exchange(new.node_id, old.node_id)
    if state.mirror.node(new.node_id) is None:
        state.inodes.forget_node(new.node_id)


def _swap(state: StateStore, swap: Swap) -> None:
    changes, inodes = state.changes, state.inodes
    on_server = state.mirror.node(swap.old)
    old, new = state.tree.node(swap.old), state.tree.node(swap.new)
    assert on_server is not None and old is not None and new is not None
    old_overlay = state.overlays.get(old.node_id)
    new_overlay = state.overlays.get(new.node_id)
    seen = state.disputes.base_revision(old.node_id, on_server.revision)
    # A number that no node has stands in while the two change places.
    spare = -old.node_id
    if old_overlay is None:
        old_overlay = state.overlays.begin(old.node_id, expected_revision=0, source=source_of(old))
    state.overlays.move(old_overlay, spare, expected_revision=0)
    if new_overlay is not None:
        state.overlays.move(new_overlay, old.node_id, expected_revision=seen)
    else:
        state.overlays.begin(old.node_id, expected_revision=seen, source=None)
    state.overlays.move(old_overlay, new.node_id, expected_revision=0)
    changes.drop_dentry(swap.key)
    backup = changes.dentries[swap.backup_key]
    changes.put_dentry(backup._replace(node_id=new.node_id))
    changes.drop_node(new.node_id)
    _adopt_attributes(state, on_server, new)
    state.tree.create(
        old._replace(node_id=new.node_id, attributes_version=0, revision=0, manifest_id=b"").marked(
            NO_CONFLICT
        )
    )
    inodes.exchange(old.node_id, new.node_id)


def _move_content(
    state: StateStore, new: NodeRecord, to_node: int, *, expected_revision: int
) -> Overlay:
    overlay = state.overlays.get(new.node_id)
    if overlay is None:
        return state.overlays.begin(
            to_node, expected_revision=expected_revision, source=source_of(new)
        )
    state.overlays.move(overlay, to_node, expected_revision=expected_revision)
    return overlay


def _adopt_attributes(state: StateStore, old: NodeRecord, new: NodeRecord) -> None:
    changes: LocalChanges = state.changes
    here = state.tree.node(old.node_id) or old
    changes.drop_node(old.node_id)
    adopted = old._replace(
        mode=new.mode,
        uid=new.uid,
        gid=new.gid,
        mtime_ns=new.mtime_ns,
        ctime_ns=new.ctime_ns,
        xattrs=new.xattrs,
    ).marked(here.mark)
    state.tree.set_attributes(adopted)
