"""New nodes for what was written here: conflict copies, and files that others removed."""

import time
from collections.abc import Callable

from mountfs.core.conflict_mark import ConflictMark
from mountfs.core.conflict_names import conflict_name
from mountfs.state.local_changes import Key
from mountfs.state.overlay import Overlay
from mountfs.state.records import NodeRecord
from mountfs.state.store import StateStore
from mountfs.state.tree import source_of
from mountfs.state.view_changes import ViewChanges


class ConflictCopies:
    """Makes them, inside the caller's transaction. `made` lists those that are conflicts."""

    def __init__(
        self,
        state: StateStore,
        view: ViewChanges,
        *,
        device_name: str,
        new_node_id: Callable[[], int],
    ) -> None:
        self._state = state
        self._view = view
        self._device_name = device_name
        self.new_node_id = new_node_id
        self.made: list[Key] = []

    def keep_both(self, overlay: Overlay) -> None:
        """Move our bytes, and the inode that programs hold, to a copy beside the file."""
        state = self._state
        record = state.tree.node(overlay.node_id)
        assert record is not None
        places = state.tree.places(record.node_id)
        if not places:
            state.overlays.dispose(overlay)
            return
        parent, name = places[0]
        copy_id = self.make(record, overlay)
        self.place_beside(parent, name, copy_id, original=record.node_id)
        state.inodes.exchange(record.node_id, copy_id)
        self._view.dentries |= set(places)
        self._view.contents |= {record.node_id, copy_id}

    def make(self, record: NodeRecord, overlay: Overlay | None) -> int:
        """Return a new node, without a name, that is what `record` is and has its overlay, or its
        committed content. The old node keeps nothing that was changed here."""
        state = self._state
        copy_id = self.new_node_id()
        state.changes.drop_node(record.node_id)
        state.parking.unpark(record.node_id)
        state.tree.create(
            record._replace(
                node_id=copy_id, attributes_version=0, revision=0, manifest_id=b"", entries=b""
            )
        )
        if overlay is not None:
            state.overlays.move(overlay, copy_id, expected_revision=0)
        elif (source := source_of(record)) is not None:
            state.overlays.begin(copy_id, expected_revision=0, source=source)
        return copy_id

    def place(self, parent: int, name: bytes, node_id: int) -> None:
        self._state.tree.set_child(parent, name, node_id)
        self._view.dentries.add((parent, name))

    def place_freely(self, parent: int, name: bytes, node_id: int) -> None:
        """Place a node under `name`, or as a conflict if that is taken."""
        taken_by = self._state.tree.child(parent, name)
        if taken_by:
            self.place_beside(parent, name, node_id, original=taken_by)
        else:
            self.place(parent, name, node_id)

    def place_beside(self, parent: int, name: bytes, node_id: int, *, original: int) -> None:
        """Place a node that wants `name`, which is `original`'s, as its conflict copy."""
        state = self._state
        name = self.free_name(parent, name)
        self.place(parent, name, node_id)
        record = state.tree.node(node_id)
        assert record is not None
        mark = ConflictMark(original, self._device_name, state.clock.wall_ns())
        state.tree.set_attributes(record.marked(mark))
        self.made.append((parent, name))

    def free_name(self, parent: int, name: bytes) -> bytes:
        wall_s = self._state.clock.wall_ns() / 1e9
        return conflict_name(
            name,
            device=self._device_name,
            date=time.strftime("%Y-%m-%d", time.gmtime(wall_s)),
            is_taken=lambda candidate: bool(self._state.tree.child(parent, candidate)),
        )
