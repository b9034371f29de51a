"""A few rows that a pull brought, in memory."""

from collections.abc import Mapping

from backend_server.protocol.lost_past import LostPast
from backend_server.protocol.tree_messages import NodeKind, QuotaState
from mountfs.core.tree_laws import find_broken_law
from mountfs.errors import Corruption
from mountfs.state.local_changes import Key
from mountfs.state.meeting import Met
from mountfs.state.records import NodeRecord
from mountfs.state.store import StateStore
from mountfs.state.view_changes import ViewChanges
from mountfs.sync.arrivals import add_node
from mountfs.sync.feed import Pulled


class SmallArrival:
    """Rows in memory."""

    is_snapshot = False
    lost_past: LostPast | None = None

    def __init__(self, state: StateStore, pulled: Pulled) -> None:
        """Raises `Corruption`: it is no tree."""
        self._state = state
        self._pulled = pulled
        broken = find_broken_law(state.mirror, pulled.nodes, pulled.dentries)
        if broken is not None:
            raise Corruption(f"the server's tree is none: {broken}")
        self._names: dict[Key, int] = {}
        self._seen: dict[int, NodeRecord | None] = {}
        self._before: dict[int, NodeRecord | None] = {}
        self._met: Met | None = None

    @property
    def cursor(self) -> str:
        return self._pulled.cursor

    @property
    def head_sequence(self) -> int:
        return self._pulled.progress.head_sequence

    @property
    def applied_through(self) -> int:
        return self._pulled.applied_through

    @property
    def quota(self) -> QuotaState | None:
        return self._pulled.quota

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._pulled.nodes

    def before(self, node_id: int, default: NodeRecord | None = None, /) -> NodeRecord | None:
        if node_id in self._before:
            return self._before[node_id]
        return self._state.mirror.node(node_id) if node_id in self._pulled.nodes else default

    async def meet(self) -> None:
        """Nothing: there is little of it."""

    def met(self) -> Met:
        """All of it: to ask for each change made here would take longer, if there are many."""
        if self._met is not None:
            return self._met
        met = self._met = Met(
            {key: dentry.node_id for key, dentry in self._pulled.dentries.items()}
        )
        for node_id, node in self._pulled.nodes.items():
            if node.kind is NodeKind.REMOVED:
                met.removed.add(node_id)
                continue
            met.present[node_id] = node.revision
            before = self.before(node_id)
            if before is not None and before.revision != node.revision:
                met.edited.add(node_id)
        return met

    def note_seen(self) -> None:
        tree, mirror = self._state.tree, self._state.mirror
        self._names = {key: tree.child(*key) for key in self._pulled.dentries}
        self._seen = {
            node.node_id: tree.node(node.node_id)
            for node in self._pulled.nodes.values()
            if node.kind is not NodeKind.REMOVED
        }
        self._before = {node_id: mirror.node(node_id) for node_id in self._pulled.nodes}

    def enter(self) -> None:
        self._state.mirror.apply(
            list(self._pulled.nodes.values()), list(self._pulled.dentries.values())
        )

    def view_changes(self, own_revisions: Mapping[int, int], view: ViewChanges) -> None:
        tree = self._state.tree
        for key, child in self._names.items():
            if tree.child(*key) != child:
                view.dentries.add(key)
                # Their link counts are others now, whatever their rows say.
                view.attributes |= {child, tree.child(*key)} - {0}
        view.removed |= {
            node.node_id
            for node in self._pulled.nodes.values()
            if node.kind is NodeKind.REMOVED and tree.node(node.node_id) is None
        }
        for node_id, record in self._seen.items():
            now = tree.node(node_id)
            if record is not None and now is not None:
                add_node(view, record, now, self._before[node_id], own_revisions)
