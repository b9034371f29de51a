"""What others removed while it was used here lives on, as new nodes.

A file comes back for an edit, and for a name that was given to it here (a rename, a hard link); a
folder for what was put into it. A removal takes only what its maker could see.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from backend_server.protocol.tree_messages import NodeKind
from mountfs.state.local_changes import Key
from mountfs.state.overlay import Overlay
from mountfs.state.records import LocalDentry, NodeRecord
from mountfs.state.store import StateStore
from mountfs.state.view_changes import ViewChanges
from mountfs.sync.conflict_copies import ConflictCopies

ROOT = 1


@dataclass(slots=True)
class Before:
    """What the mirror had of nodes that the feed removed: where they were, and what."""

    records: dict[int, NodeRecord] = field(default_factory=dict)
    places: dict[int, list[Key]] = field(default_factory=dict)


def remember_before(state: StateStore, removed: Iterable[int]) -> Before:
    """Return where the nodes that are about to go are now, and what, with all their folders."""
    before = Before()
    pending = list(removed)
    while pending:
        node_id = pending.pop()
        if node_id in before.records:
            continue
        record = state.tree.node(node_id)
        places = state.mirror.places(node_id)
        if record is None:
            continue
        before.records[node_id] = record
        if places:
            before.places[node_id] = places
            pending += [parent for parent, _ in places]
    return before


class Revival:
    """Inside the transaction that applied the removals."""

    def __init__(
        self, state: StateStore, before: Before, view: ViewChanges, copies: ConflictCopies
    ) -> None:
        self._state = state
        self._before = before
        self._view = view
        self._copies = copies
        self._taken: set[Key] = set()

    def name_is_taken(self, key: Key) -> None:
        """What is revived and has this name from here must find another: others have it."""
        self._taken.add(key)

    def is_folder(self, node_id: int) -> bool:
        """Whether what was removed was a folder."""
        record = self._before.records.get(node_id)
        return record is not None and record.is_folder

    def revive_file(self, node_id: int) -> None:
        """Make a removed file again if it was edited here or has a name from here.

        It gets the names that it has here; if it has none, those that it had.
        """
        changes = self._state.changes
        overlay = self._state.overlays.get(node_id)
        rows = [changes.dentries[key] for key in sorted(changes.places(node_id))]
        lost = [] if rows or overlay is None else self._before.places.get(node_id, [])
        if not rows and not lost:
            if overlay is not None:
                self._state.overlays.dispose(overlay)
            return
        record = self._before.records.get(node_id) or _unknown_file(overlay, node_id)
        inode = self._state.inodes.inode_of(node_id)
        copy_id = self._copies.make(record, overlay)
        self._state.inodes.point(inode, copy_id)
        for row in rows:
            self._point(row, copy_id)
        for parent, name in lost:
            self._copies.place_freely(self.living_folder(parent), name, copy_id)

    def revive_folder(self, node_id: int) -> None:
        """A folder was removed elsewhere while something was put into it here: make it again."""
        changes = self._state.changes
        rows = [changes.dentries[node_id, name] for name in list(changes.names_in(node_id))]
        for row in rows:
            changes.drop_dentry(row.key)
        kept = [row for row in rows if row.node_id and self._is_alive(row.node_id)]
        if not kept:
            return
        folder = self.living_folder(node_id)
        for row in kept:
            self._copies.place_freely(folder, row.name, row.node_id)

    def living_folder(self, node_id: int) -> int:
        """Return the folder, or the one made in its place when it was removed."""
        state = self._state
        if self._is_alive(node_id):
            return node_id
        record = self._before.records.get(node_id)
        # Where it was moved here, else where it was.
        moved = sorted(state.changes.places(node_id))
        places = moved or self._before.places.get(node_id)
        if record is None or not places:
            return ROOT
        above, name = places[0]
        parent = self.living_folder(above)
        existing = state.tree.child(parent, name)
        found = state.tree.node(existing) if existing else None
        if found is not None and found.is_folder:
            return existing
        if found is not None:
            name = self._copies.free_name(parent, name)
        for key in moved:
            state.changes.drop_dentry(key)
            self._view.dentries.add(key)
        made = self._copies.make(record, None)
        self._copies.place(parent, name, made)
        state.inodes.point(state.inodes.inode_of(node_id), made)
        # Whoever asks again for the same folder gets the one that was made.
        self._before.places[node_id] = [(parent, name)]
        return made

    def _point(self, row: LocalDentry, node_id: int) -> None:
        """Make a name from here lead to what took the removed node's place."""
        changes = self._state.changes
        self._view.dentries.add(row.key)
        if self._is_alive(row.parent) and row.key not in self._taken:
            changes.put_dentry(row._replace(node_id=node_id, touched=changes.next_touch()))
            return
        changes.drop_dentry(row.key)
        self._copies.place_freely(self.living_folder(row.parent), row.name, node_id)

    def _is_alive(self, node_id: int) -> bool:
        return self._state.tree.node(node_id) is not None


def _unknown_file(overlay: Overlay | None, node_id: int) -> NodeRecord:
    """Return what is left of a file that the mirror does not know: its bytes and when."""
    mtime_ns = overlay.mtime_ns if overlay is not None else 0
    return NodeRecord(
        node_id, NodeKind.FILE, 0o644, 0, 0, mtime_ns, mtime_ns, 0, 0, 0, b"", b"", b"", 0
    )
