"""Puts what was changed here on a newer mirror.

Runs inside the transaction that applied the feed. Rows that the feed did not touch stay as they
are; for the others `core.conflict` decides and this file does. Nothing that a program wrote is
dropped: it stands, or is known to be on the server, or lives on under another name.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field

from backend_server.protocol.messages import NodeKind
from mountfs.core.conflict import ContentVerdict, DentryVerdict, decide_content, decide_dentry
from mountfs.core.conflict_names import conflict_name
from mountfs.state.local_changes import Key
from mountfs.state.overlay import Overlay, Source
from mountfs.state.records import LocalDentry, NodeRecord
from mountfs.state.store import StateStore
from mountfs.state.view_changes import ViewChanges

ROOT = 1


@dataclass(slots=True)
class Before:
    """What the mirror had of nodes that the feed removed: where they were, and what."""

    records: dict[int, NodeRecord] = field(default_factory=dict)
    places: dict[int, Key] = field(default_factory=dict)


class Rebase:
    """One run. `conflicts` lists the copies that were made, as (parent, name)."""

    def __init__(
        self,
        state: StateStore,
        before: Before,
        view: ViewChanges,
        *,
        device_name: str,
        new_node_id: Callable[[], int],
    ) -> None:
        self._state = state
        self._before = before
        self._view = view
        self._device_name = device_name
        self._new_node_id = new_node_id
        self.conflicts: list[Key] = []

    def run(
        self,
        *,
        keys: Set[Key],
        nodes: Set[int],
        removed: Set[int],
        edited: Set[int],
        applied_revisions: Mapping[int, int],
        ready_manifests: Mapping[int, bytes],
        knotted: Set[Key],
    ) -> None:
        """Rebase what the feed touched.

        Args:
            keys: Dentries that the feed or a settled batch touched.
            nodes: Nodes that it brought.
            removed: Nodes that it removed.
            edited: Files to which it brought a head that is not ours.
            applied_revisions: Revisions that are our own commits, by node.
            ready_manifests: Ids of our contents as far as they are known, by node.
            knotted: Renames and removals that the server refused to make.
        """
        changes = self._state.changes
        for node_id in removed & changes.nodes.keys():
            # Attributes of what is gone; `Before` has them for a file that is revived below.
            if not changes.nodes[node_id].is_created:
                changes.drop_node(node_id)
        for node_id in nodes & changes.nodes.keys():
            self._rebase_attributes(node_id)
        for key in sorted(keys):
            self._rebase_dentry(key)
        for node_id in sorted(edited):
            self._keep_edited(node_id)
        touched = nodes | removed | applied_revisions.keys()
        for node_id in [node for node in sorted(touched) if node in self._state.overlays]:
            self._rebase_content(
                node_id, applied_revisions.get(node_id), ready_manifests.get(node_id)
            )
        for node_id in removed:
            for key in list(changes.places(node_id)):
                self._drop_if_dead(changes.dentries[key])
        for parent in removed:
            if self._state.changes.names_in(parent):
                self._revive_folder(parent)
        for key in sorted(knotted):
            self._untie(key)
        self._check_folders()

    # Dentries --------------------------------------------------------------------------------

    def _rebase_dentry(self, key: Key) -> None:
        changes, mirror = self._state.changes, self._state.mirror
        row = changes.dentries.get(key)
        if row is None:
            return
        remote = mirror.child(*key)
        verdict = decide_dentry(expected=row.expected, local=row.node_id, remote=remote)
        match verdict:
            case DentryVerdict.DONE | DentryVerdict.YIELD:
                changes.drop_dentry(key)
                self._view.dentries.add(key)
            case DentryVerdict.KEEP:
                pass
            case DentryVerdict.KEEP_ON_NEW:
                changes.put_dentry(row._replace(expected=0))
            case DentryVerdict.COLLIDE:
                self._collide(row, remote)
        if verdict in (DentryVerdict.KEEP, DentryVerdict.KEEP_ON_NEW):
            self._drop_if_dead(row)

    def _drop_if_dead(self, row: LocalDentry) -> None:
        """A name given here to a node that others removed leads nowhere."""
        if row.node_id and self._state.tree.node(row.node_id) is None:
            self._state.changes.drop_dentry(row.key)
            self._view.dentries.add(row.key)

    def _keep_edited(self, node_id: int) -> None:
        """A file that was removed or replaced here was edited elsewhere: the edit keeps its name.

        What was saved over it here gets another.
        """
        if self._state.tree.places(node_id):
            return
        for key in self._state.mirror.places(node_id):
            row = self._state.changes.dentries.get(key)
            if row is not None:
                self._collide(row, node_id)

    def _collide(self, row: LocalDentry, remote: int) -> None:
        """Two different nodes want one name: folders merge, else ours is renamed."""
        changes, tree = self._state.changes, self._state.tree
        ours = tree.node(row.node_id) if row.node_id else None
        theirs = self._state.mirror.node(remote)
        changes.drop_dentry(row.key)
        self._view.dentries.add(row.key)
        if ours is None:
            return
        created = changes.nodes.get(row.node_id)
        is_new = created is not None and created.is_created
        if ours.is_folder and theirs is not None and theirs.is_folder and is_new:
            self._merge_folder(row.node_id, remote)
            return
        name = self._conflict_name(row.parent, row.name)
        tree.set_child(row.parent, name, row.node_id)
        self._view.dentries.add((row.parent, name))
        self.conflicts.append((row.parent, name))

    def _merge_folder(self, ours: int, theirs: int) -> None:
        """What was put into our new folder goes into theirs of the same name."""
        changes = self._state.changes
        for name, node_id in list(changes.names_in(ours).items()):
            changes.drop_dentry((ours, name))
            if not node_id:
                continue
            expected = self._state.mirror.child(theirs, name)
            moved = LocalDentry(theirs, name, node_id, 0, changes.next_touch())
            changes.put_dentry(moved)
            self._view.dentries.add((theirs, name))
            if expected:
                self._collide(moved, expected)
        changes.drop_node(ours)
        self._state.inodes.point(self._state.inodes.inode_of(ours), theirs)
        self._view.attributes.add(theirs)

    def _untie(self, key: Key) -> None:
        """The server could not make this move or removal: what it has stays."""
        row = self._state.changes.dentries.get(key)
        if row is None:
            return
        remote = self._state.mirror.child(*key)
        if row.node_id and remote and row.node_id != remote:
            self._collide(row, remote)  # what was put in its place here finds another
            return
        created = self._state.changes.nodes.get(row.node_id)
        if created is not None and created.is_created:
            return
        self._state.changes.drop_dentry(key)
        self._view.dentries.add(key)

    def _check_folders(self) -> None:
        """No folder has two names, none is inside itself: else the server's place is right."""
        tree, changes = self._state.tree, self._state.changes
        for row in list(changes.dentries.values()):
            record = tree.node(row.node_id) if row.node_id else None
            if record is None or not record.is_folder:
                continue
            is_twice = len(tree.places(row.node_id)) > 1
            if is_twice or tree.is_inside(row.parent, row.node_id):
                self._drop_move_of(row.node_id)

    def _drop_move_of(self, node_id: int) -> None:
        changes = self._state.changes
        for row in list(changes.dentries.values()):
            if node_id in (row.node_id, row.expected):
                changes.drop_dentry(row.key)
                self._view.dentries.add(row.key)

    # Attributes ------------------------------------------------------------------------------

    def _rebase_attributes(self, node_id: int) -> None:
        """Attributes set on both sides: ours come later, on top of theirs."""
        node = self._state.changes.nodes[node_id]
        remote = self._state.mirror.node(node_id)
        if remote is not None and node.attributes_version != remote.attributes_version:
            self._state.changes.put_node(
                node._replace(is_created=False, attributes_version=remote.attributes_version)
            )

    # Contents --------------------------------------------------------------------------------

    def _rebase_content(
        self, node_id: int, our_revision: int | None, our_manifest: bytes | None
    ) -> None:
        overlay = self._state.overlays.get(node_id)
        if overlay is None:
            return
        created = self._state.changes.nodes.get(node_id)
        remote = self._state.mirror.node(node_id)
        if remote is None and created is not None and created.is_created:
            return
        if remote is not None and our_revision == remote.revision:
            self._state.overlays.rebase(overlay, our_revision)
        verdict = decide_content(
            expected_revision=overlay.expected_revision,
            remote_revision=remote.revision if remote is not None else None,
            local_manifest=our_manifest,
            remote_manifest=remote.manifest_id if remote is not None else b"",
        )
        match verdict:
            case ContentVerdict.KEEP:
                pass
            case ContentVerdict.DONE:
                assert remote is not None
                ids = [generation.generation_id for generation in overlay.generations]
                self._state.overlays.retire(overlay, ids, Source(*_content_of(remote)))
            case ContentVerdict.KEEP_BOTH:
                self._keep_both(overlay)
            case ContentVerdict.REVIVE:
                self._revive_file(overlay)

    def _keep_both(self, overlay: Overlay) -> None:
        """Our bytes, and the inode that programs hold, move to a copy beside the file."""
        tree = self._state.tree
        record = tree.node(overlay.node_id)
        assert record is not None
        places = tree.places(record.node_id)
        if not places:
            self._state.overlays.dispose(overlay)
            return
        parent, name = places[0]
        copy_name = self._conflict_name(parent, name)
        copy_id = self._copy(record, overlay, parent, copy_name)
        self._state.inodes.exchange(record.node_id, copy_id)
        self._view.dentries |= {(place_parent, place) for place_parent, place in places}
        self._view.contents |= {record.node_id, copy_id}
        self.conflicts.append((parent, copy_name))

    def _revive_file(self, overlay: Overlay) -> None:
        """Others removed the file that was edited here: it comes back as a new node."""
        old = self._before.records.get(overlay.node_id)
        place = self._before.places.get(overlay.node_id)
        here = self._state.tree.places(overlay.node_id)
        if here:
            place = here[0]
        if place is None:
            self._state.overlays.dispose(overlay)
            return
        record = old or NodeRecord(
            overlay.node_id, NodeKind.FILE, 0o644, 0, 0, overlay.mtime_ns, overlay.mtime_ns,
            0, 0, 0, b"", b"", b"", 0,
        )  # fmt: skip
        node_id = overlay.node_id
        inode = self._state.inodes.inode_of(node_id)
        for key in here:
            self._state.changes.drop_dentry(key)
        self._state.changes.drop_node(node_id)
        parent, name = place
        parent = self._living_folder(parent)
        if self._state.tree.child(parent, name):
            name = self._conflict_name(parent, name)
            self.conflicts.append((parent, name))
        copy_id = self._copy(record, overlay, parent, name)
        self._state.inodes.point(inode, copy_id)
        self._view.dentries.add((parent, name))

    def _copy(self, record: NodeRecord, overlay: Overlay, parent: int, name: bytes) -> int:
        copy_id = self._new_node_id()
        changes, tree = self._state.changes, self._state.tree
        changes.drop_node(record.node_id)
        tree.create(
            record._replace(
                node_id=copy_id, attributes_version=0, revision=0, manifest_id=b"", entries=b""
            )
        )
        self._state.overlays.move(overlay, copy_id, expected_revision=0)
        tree.set_child(parent, name, copy_id)
        self._view.dentries.add((parent, name))
        return copy_id

    # Folders that others removed -------------------------------------------------------------

    def _revive_folder(self, node_id: int) -> int:
        """A folder was removed elsewhere while something was put into it here: make it again."""
        changes = self._state.changes
        rows = [changes.dentries[node_id, name] for name in list(changes.names_in(node_id))]
        for row in rows:
            changes.drop_dentry(row.key)
        kept = [row for row in rows if row.node_id and self._is_alive(row.node_id)]
        if not kept:
            return 0
        folder = self._living_folder(node_id)
        for row in kept:
            name = row.name
            if self._state.tree.child(folder, name):
                name = self._conflict_name(folder, name)
                self.conflicts.append((folder, name))
            self._state.tree.set_child(folder, name, row.node_id)
            self._view.dentries.add((folder, name))
        return folder

    def _living_folder(self, node_id: int) -> int:
        """Return the folder, or the one made in its place when it was removed."""
        state = self._state
        if self._is_alive(node_id):
            return node_id
        record, place = self._before.records.get(node_id), self._before.places.get(node_id)
        if record is None or place is None:
            return ROOT
        parent = self._living_folder(place[0])
        existing = state.tree.child(parent, place[1])
        found = state.tree.node(existing) if existing else None
        if found is not None and found.is_folder:
            return existing
        name = place[1] if found is None else self._conflict_name(*place)
        made = self._new_node_id()
        state.tree.create(record._replace(node_id=made, attributes_version=0))
        state.tree.set_child(parent, name, made)
        state.inodes.point(state.inodes.inode_of(node_id), made)
        self._view.dentries.add((parent, name))
        # Whoever asks again for the same folder gets the one that was made.
        self._before.places[node_id] = (parent, name)
        return made

    def _is_alive(self, node_id: int) -> bool:
        return self._state.tree.node(node_id) is not None

    def _conflict_name(self, parent: int, name: bytes) -> bytes:
        wall_s = self._state.clock.wall_ns() / 1e9
        return conflict_name(
            name,
            device=self._device_name,
            date=time.strftime("%Y-%m-%d", time.gmtime(wall_s)),
            is_taken=lambda candidate: bool(self._state.tree.child(parent, candidate)),
        )


def _content_of(record: NodeRecord) -> tuple[int, int, bytes, bytes, int]:
    return (
        record.node_id, record.revision, record.manifest_id, record.entries, record.size_bytes
    )  # fmt: skip


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
            before.places[node_id] = places[0]
            pending.append(places[0][0])
    return before
