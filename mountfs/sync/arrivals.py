"""What a pull brought, ready to be applied: a few rows in memory, or many of them on disk.

A device in step with its server is told a few rows at a time. One that was away is told all that
happened since, and one whose feed was reset the whole tree: those rows never are in memory
together, and never enter the mirror at one go, for programs wait meanwhile (100,000 rows at once:
1-2 s). They are gathered as the next mirror (state/next_mirror), are shown in one short
transaction, and move into the mirror behind it, while its rows already count.
"""

from collections.abc import Mapping
from typing import Protocol

from backend_server.protocol.lost_past import LostPast
from backend_server.protocol.tree_messages import QuotaState
from mountfs.state.meeting import Met
from mountfs.state.records import NodeRecord
from mountfs.state.tree import source_of
from mountfs.state.view_changes import ViewChanges


class Arrival(Protocol):
    """States that are lawful over the mirror, and not yet applied to it.

    What it `brought` is what changed since the mirror's cursor; all there is, if it is a snapshot.
    """

    is_snapshot: bool
    lost_past: LostPast | None

    @property
    def cursor(self) -> str: ...
    @property
    def head_sequence(self) -> int: ...
    @property
    def applied_through(self) -> int: ...
    @property
    def quota(self) -> QuotaState | None: ...

    def __contains__(self, node_id: object, /) -> bool: ...

    def before(self, node_id: int, default: NodeRecord | None = None, /) -> NodeRecord | None:
        """Return what the mirror had of a node that was brought, None if nothing; `default` for a
        node that was not."""
        ...

    async def meet(self) -> None:
        """Prepare `met`, that it be short: find in slices what is met by what was changed up to
        now. What is changed from its begin on must be noted (`RecentChanges`)."""
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


def add_node(
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
