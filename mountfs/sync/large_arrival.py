"""Many rows that a pull brought, on disk: gathered, shown, told and moved, slice by slice."""

from collections.abc import Callable, Iterable, Mapping

import trio

from backend_server.protocol.lost_past import LostPast
from backend_server.protocol.tree_messages import ChangesPage, NodeKind, QuotaState
from mountfs.errors import Corruption
from mountfs.state.meeting import Met
from mountfs.state.next_mirror import Difference
from mountfs.state.records import NodeRecord
from mountfs.state.store import StateStore
from mountfs.state.tree import LocalTree
from mountfs.state.view_changes import ViewChanges
from mountfs.sync.arrivals import add_node
from mountfs.sync.feed import FeedSource, Progress, Pulled

Told = Callable[[ViewChanges], None]


class LargeArrival:
    """Rows on disk; `gather` makes one."""

    def __init__(self, state: StateStore, progress: Progress, *, is_snapshot: bool) -> None:
        self._state = state
        self._rows = state.next_mirror
        self._progress = progress
        self._last_page: ChangesPage | None = None
        self._meeting = state.next_mirror.meeting(state.recent, is_snapshot=is_snapshot)
        self.is_snapshot = is_snapshot
        self.lost_past: LostPast | None = None
        """What the server lost, of what the mirror has."""
        self.told_removed: set[int] = set()
        """If it lost something: the nodes that were removed since, and not lost."""

    @property
    def cursor(self) -> str:
        return self._progress.cursor

    @property
    def head_sequence(self) -> int:
        return self._progress.head_sequence

    @property
    def applied_through(self) -> int:
        return self._last_page.applied_through if self._last_page is not None else 0

    @property
    def quota(self) -> QuotaState | None:
        return self._last_page.quota if self._last_page is not None else None

    async def take(self, page: ChangesPage) -> None:
        """Put the next page with the others. Raises as `Progress.take`."""
        self._progress.take(page)
        self._last_page = page
        if self.is_snapshot:
            self.lost_past = page.lost or self.lost_past
        if self.lost_past is not None:
            removed = (node.node_id for node in page.nodes if node.kind is NodeKind.REMOVED)
            self.told_removed.update(removed)
        await in_slices(self._rows.add(page.nodes, page.dentries))

    async def begin_with(self, small: Pulled, last_page: ChangesPage) -> None:
        """Take away what was pulled so far, and noted in the progress."""
        self._last_page = last_page
        await in_slices(self._rows.add(list(small.nodes.values()), list(small.dentries.values())))
        small.nodes.clear()
        small.dentries.clear()

    async def follow(self, source: FeedSource) -> None:
        """Take the pages behind the cursor until there are no more."""
        page: ChangesPage | None = None
        while page is None or page.has_more:
            page = await source.changes(self._state.drive_id, self._progress.cursor)
            await self.take(page)

    async def hold_against_laws(self, *, is_mirror_sound: bool) -> None:
        """Finish what was gathered. Raises `Corruption`: it is no tree."""
        if self.is_snapshot:
            await in_slices(self._rows.add_removals())
        for broken in self._rows.broken_laws(is_mirror_sound=is_mirror_sound):
            if broken is not None:
                raise Corruption(f"the server's tree is none: {broken}")
            await trio.lowlevel.checkpoint()
        if self.is_snapshot:
            await in_slices(self._rows.drop_equal())

    def __contains__(self, node_id: object) -> bool:
        return isinstance(node_id, int) and self.node(node_id) is not None

    def node(self, node_id: int) -> NodeRecord | None:
        """Return what was brought of a node (kind 0: its removal); None for nothing."""
        found = self._rows.node(node_id)
        # Of a snapshot only what differs was kept.
        return found or (self._state.mirror.unlayered_node(node_id) if self.is_snapshot else None)

    def before(self, node_id: int, default: NodeRecord | None = None, /) -> NodeRecord | None:
        old = self._state.mirror.unlayered_node(node_id)
        if self._rows.node(node_id) is None and not (self.is_snapshot and old is not None):
            return default
        return old

    async def meet(self) -> None:
        assert self._state.recent.is_noted
        await in_slices(self._meeting.steps())

    def met(self) -> Met:
        return self._meeting.finish()

    def note_seen(self) -> None:
        """Nothing: the mirror keeps what it had until `move_into_mirror`."""

    def enter(self) -> None:
        self._state.mirror.show_layer()

    def view_changes(self, own_revisions: Mapping[int, int], view: ViewChanges) -> None:
        """Only that there is much: `move_into_mirror` tells what, in slices."""
        view.is_layer_shown = True


async def move_into_mirror(
    state: StateStore, told: Told, own_revisions: Mapping[int, int] | None = None
) -> None:
    """Put the next mirror that is shown into the mirror, and tell what programs see differently.

    Nothing to do where none is shown. Cancelled, or cut off by a full disk or a crash: go on by
    calling it again.
    """
    if not state.mirror.is_layered:
        return
    # All is told before anything is moved: until then the kernel has old names and attributes.
    for difference in state.next_mirror.differences():
        view = _view_of(difference, own_revisions or {}, state.tree)
        if view:
            told(view)
        await trio.lowlevel.checkpoint()
    await in_slices(state.next_mirror.move())


async def in_slices(steps: Iterable[None]) -> None:
    """Let others run between any two steps."""
    for _ in steps:
        await trio.lowlevel.checkpoint()


def _view_of(
    difference: Difference, own_revisions: Mapping[int, int], tree: LocalTree
) -> ViewChanges:
    view = ViewChanges()
    for key, old, now in difference.dentries:
        if old != now:
            view.dentries.add(key)
            view.attributes |= {old, now} - {0}
    for node_id, record, state in difference.nodes:
        if state is None:
            # Also what the mirror never had: it was made here, and is gone again.
            if tree.node(node_id) is None:
                view.removed.add(node_id)
        elif record is not None:
            add_node(view, record, state, record, own_revisions)
    return view
