"""What a pull brought, ready to be applied: a few rows in memory, or many of them on disk.

A device in step with its server is told a few rows at a time. One that was away is told all that
happened since, and one whose feed was reset the whole tree: those rows never are in memory
together, and never enter the mirror at one go, for programs wait meanwhile (100,000 rows at once:
1-2 s). They are gathered as the next mirror (state/next_mirror), are shown in one short
transaction, and move into the mirror behind it, while its rows already count.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
import trio

from backend_server.protocol.limits import COMMIT_OPERATIONS_MAX
from backend_server.protocol.messages import ChangesPage, NodeKind, QuotaState
from mountfs.core.tree_laws import find_broken_law
from mountfs.errors import Corruption, CursorReset
from mountfs.state.local_changes import Key
from mountfs.state.next_mirror import Difference
from mountfs.state.records import NodeRecord
from mountfs.state.store import StateStore
from mountfs.state.tree import source_of
from mountfs.state.view_changes import ViewChanges
from mountfs.sync.feed import FeedSource, Progress, Pulled

_log = structlog.get_logger()

SMALL_ROWS_MAX: Final = 2500
"""Rows that are applied at once: 25-50 ms."""
assert SMALL_ROWS_MAX > 2 * COMMIT_OPERATIONS_MAX, "a batch of our own creates comes back as these"

Told = Callable[[ViewChanges], None]


class BroughtNode(Protocol):
    """`kind` 0: the node was removed."""

    @property
    def kind(self) -> int: ...
    @property
    def revision(self) -> int: ...


@dataclass(slots=True)
class Met:
    """What was brought that may meet a change made here: at least the names and nodes that were
    changed, and the nodes that lie under such a name."""

    keys: set[Key]
    present: set[int]
    removed: set[int]


class Arrival(Protocol):
    """States that are lawful over the mirror, and not yet applied to it.

    What it `brought` is what changed since the mirror's cursor; all there is, if it is a snapshot.
    """

    is_snapshot: bool

    @property
    def cursor(self) -> str: ...
    @property
    def head_sequence(self) -> int: ...
    @property
    def applied_through(self) -> int: ...
    @property
    def quota(self) -> QuotaState | None: ...

    def __contains__(self, node_id: object, /) -> bool: ...

    def node(self, node_id: int) -> BroughtNode | None:
        """Return what was brought of a node; None for nothing."""
        ...

    def dentry(self, key: Key) -> int | None:
        """Return the node that a name was brought with (0: it leads to nothing); None for not."""
        ...

    def before(self, node_id: int, default: NodeRecord | None = None, /) -> NodeRecord | None:
        """Return what the mirror had of a node that was brought, None if nothing; `default` for a
        node that was not."""
        ...

    def met(self) -> Met:
        """Return what has to be looked at. Before anything is applied."""
        ...

    def note_seen(self) -> None:
        """Note what programs see now. Before anything is applied."""
        ...

    def enter(self) -> None:
        """Make it what readers of the mirror see. Joins the caller's transaction."""
        ...

    def view_changes(self, own_revisions: Mapping[int, int], view: ViewChanges) -> None:
        """Add what programs see differently since `enter`, as far as that is known by now.

        Args:
            own_revisions: By node, the revisions that are commits of this device.
        """
        ...


class SmallArrival:
    """Rows in memory."""

    is_snapshot = False

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

    def node(self, node_id: int) -> BroughtNode | None:
        return self._pulled.nodes.get(node_id)

    def dentry(self, key: Key) -> int | None:
        brought = self._pulled.dentries.get(key)
        return None if brought is None else brought.node_id

    def before(self, node_id: int, default: NodeRecord | None = None, /) -> NodeRecord | None:
        if node_id in self._before:
            return self._before[node_id]
        return self._state.mirror.node(node_id) if node_id in self._pulled.nodes else default

    def met(self) -> Met:
        """All of it: to ask for each change made here would take longer, if there are many."""
        removed = {
            node.node_id for node in self._pulled.nodes.values() if node.kind is NodeKind.REMOVED
        }
        return Met(set(self._pulled.dentries), self._pulled.nodes.keys() - removed, removed)

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
                _add_node(view, record, now, self._before[node_id], own_revisions)


class LargeArrival:
    """Rows on disk; `gather` makes one."""

    def __init__(self, state: StateStore, progress: Progress, *, is_snapshot: bool) -> None:
        self._state = state
        self._rows = state.next_mirror
        self._progress = progress
        self._last_page: ChangesPage | None = None
        self.is_snapshot = is_snapshot

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

    def node(self, node_id: int) -> BroughtNode | None:
        found = self._rows.node(node_id)
        # Of a snapshot only what differs was kept.
        return found or (self._state.mirror.unlayered_node(node_id) if self.is_snapshot else None)

    def dentry(self, key: Key) -> int | None:
        found = self._rows.dentry(key)
        if found is None and self.is_snapshot:
            return self._state.mirror.unlayered_child(*key) or None
        return found

    def before(self, node_id: int, default: NodeRecord | None = None, /) -> NodeRecord | None:
        old = self._state.mirror.unlayered_node(node_id)
        if self._rows.node(node_id) is None and not (self.is_snapshot and old is not None):
            return default
        return old

    def met(self) -> Met:
        state, changes = self._state, self._state.changes
        keys = {key for key in changes.dentries if self.dentry(key) is not None}
        nodes = changes.involved_nodes() | {overlay.node_id for overlay in state.overlays}
        # A file that others edited keeps a name which was given to another one here.
        nodes |= {self.dentry(key) or state.mirror.child(*key) for key in changes.dentries}
        met = Met(keys, set(), set())
        for node_id in nodes:
            brought = self.node(node_id)
            if brought is not None:
                (met.present if brought.kind else met.removed).add(node_id)
        return met

    def note_seen(self) -> None:
        """Nothing: the mirror keeps what it had until `move_into_mirror`."""

    def enter(self) -> None:
        self._state.mirror.show_layer()

    def view_changes(self, own_revisions: Mapping[int, int], view: ViewChanges) -> None:
        """Only that there is much: `move_into_mirror` tells what, in slices."""
        view.is_layer_shown = True


async def gather(
    source: FeedSource,
    state: StateStore,
    cursor: str,
    *,
    is_mirror_sound: bool = True,
    small_rows_max: int = SMALL_ROWS_MAX,
) -> SmallArrival | LargeArrival:
    """Return everything behind `cursor`; a snapshot when there is none or it does not hold.

    What programs see does not change by it.

    Args:
        is_mirror_sound: Whether what is in the mirror can speak against the server. If not, there
            must be no cursor.

    Raises:
        Corruption: The pages are no tree.
        Unavailable, Refused, LocalStorageFull: Try again later.
    """
    if cursor:
        try:
            return await _gather_changes(source, state, cursor, small_rows_max)
        except CursorReset:
            _log.warning("the feed was reset: the mirror is built anew")
    await in_slices(state.next_mirror.clear())
    arrival = LargeArrival(state, Progress(), is_snapshot=True)
    after: str | None = None
    while True:
        page = await source.snapshot_page(state.drive_id, after)
        await arrival.take(page)
        after = page.cursor
        if not page.has_more:
            break
    await arrival.follow(source)
    await arrival.hold_against_laws(is_mirror_sound=is_mirror_sound)
    return arrival


async def _gather_changes(
    source: FeedSource, state: StateStore, cursor: str, small_rows_max: int
) -> SmallArrival | LargeArrival:
    small = Pulled(Progress(cursor))
    page: ChangesPage | None = None
    while page is None or page.has_more:
        page = await source.changes(state.drive_id, small.cursor)
        small.add(page)
        if small.progress.rows_count > small_rows_max:
            break
    else:
        return SmallArrival(state, small)
    await in_slices(state.next_mirror.clear())
    large = LargeArrival(state, small.progress, is_snapshot=False)
    await large.begin_with(small, page)
    if page.has_more:
        await large.follow(source)
    await large.hold_against_laws(is_mirror_sound=True)
    return large


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
        view = _view_of(difference, own_revisions or {})
        if view:
            told(view)
        await trio.lowlevel.checkpoint()
    await in_slices(state.next_mirror.move())


async def in_slices(steps: Iterable[None]) -> None:
    """Let others run between any two steps."""
    for _ in steps:
        await trio.lowlevel.checkpoint()


def _view_of(difference: Difference, own_revisions: Mapping[int, int]) -> ViewChanges:
    view = ViewChanges()
    for key, old, now in difference.dentries:
        if old != now:
            view.dentries.add(key)
            view.attributes |= {old, now} - {0}
    for node_id, record, state in difference.nodes:
        if state is None:
            # Also what the mirror never had: it was made here, and is gone again.
            view.removed.add(node_id)
        elif record is not None:
            _add_node(view, record, state, record, own_revisions)
    return view


def _add_node(
    view: ViewChanges,
    seen: NodeRecord,
    now: NodeRecord,
    mirrored: NodeRecord | None,
    own_revisions: Mapping[int, int],
) -> None:
    """Add how a node is seen differently now."""
    is_own = own_revisions.get(now.node_id) == now.revision
    if seen.manifest_id != now.manifest_id and not is_own:
        view.contents.add(now.node_id)
        if mirrored is not None and (source := source_of(mirrored)) is not None:
            view.replaced[now.node_id] = source
    elif seen[:7] != now[:7] or seen.size_bytes != now.size_bytes:
        view.attributes.add(now.node_id)
