"""Puts what was changed here on a newer mirror.

Runs inside the transaction that applied the feed. Rows that the feed did not touch stay as they
are; for the others `core.conflict` decides and this file does. Nothing that a program wrote is
dropped: it stands, or is known to be on the server, or lives on under another name.
"""

from collections.abc import Mapping, Set
from typing import Protocol

from mountfs.core.attribute_merge import SetAttributes, merge_attributes, merge_xattrs
from mountfs.core.conflict import (
    ContentVerdict,
    DentryVerdict,
    decide_content,
    decide_dentry,
    may_merge,
)
from mountfs.state.local_changes import Key
from mountfs.state.overlay import Overlay, Source
from mountfs.state.records import LocalDentry, LocalNode, NodeRecord
from mountfs.state.store import StateStore
from mountfs.state.view_changes import ViewChanges
from mountfs.sync.conflict_copies import ConflictCopies
from mountfs.sync.revival import Before, Revival


class Mirrored(Protocol):
    def __call__(self, node_id: int, default: NodeRecord | None = None, /) -> NodeRecord | None: ...


class Rebase:
    """One run.

    Args:
        mirrored: Returns what the mirror had of a node that the feed brought; its second argument
            for one that was not.
    """

    def __init__(
        self,
        state: StateStore,
        before: Before,
        mirrored: Mirrored,
        view: ViewChanges,
        copies: ConflictCopies,
        *,
        is_merging: bool,
    ) -> None:
        self._state = state
        self._is_merging = is_merging
        self._mirrored = mirrored
        self._view = view
        self._copies = copies
        self._revival = Revival(state, before, view, copies)
        self._ready_manifests: Mapping[int, bytes] = {}
        self._removed: Set[int] = frozenset()

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
        self._ready_manifests, self._removed = ready_manifests, removed
        for node_id in removed & changes.nodes.keys():
            # Attributes of what is gone; `Before` has them for a file that is revived below.
            if not changes.nodes[node_id].is_created:
                changes.drop_node(node_id)
        for node_id in nodes & changes.nodes.keys():
            self._rebase_attributes(node_id, is_ours=node_id in applied_revisions)
        for key in sorted(keys):
            self._rebase_dentry(key)
        for node_id in sorted(edited):
            self._keep_edited(node_id)
        touched = nodes | removed | applied_revisions.keys()
        for node_id in [node for node in sorted(touched) if node in self._state.overlays]:
            self._rebase_content(
                node_id, applied_revisions.get(node_id), ready_manifests.get(node_id)
            )
        self._revive(removed)
        for node_id in removed & changes.nodes.keys():
            # Made by a batch whose answer never came, and removed elsewhere since.
            if not changes.places(node_id):
                changes.drop_node(node_id)
                self._state.parking.unpark(node_id)
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

    def _revive(self, removed: Set[int]) -> None:
        """Names given here to what others removed, and names in folders that they removed."""
        changes = self._state.changes
        named = [node_id for node_id in sorted(removed) if changes.places(node_id)]
        folders = [node_id for node_id in named if self._revival.is_folder(node_id)]
        for node_id in named:
            if node_id not in folders:
                self._revival.revive_file(node_id)
        for node_id in sorted(removed):
            if changes.names_in(node_id):
                self._revival.revive_folder(node_id)
        for node_id in folders:
            for key in list(changes.places(node_id)):
                changes.drop_dentry(key)
                self._view.dentries.add(key)

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
        """Two nodes want one name: equals and folders become one, else ours is renamed."""
        changes, tree = self._state.changes, self._state.tree
        ours = tree.node(row.node_id) if row.node_id else None
        theirs = self._state.mirror.node(remote)
        if row.node_id in self._removed:
            self._revival.name_is_taken(row.key)
            return
        changes.drop_dentry(row.key)
        self._view.dentries.add(row.key)
        if ours is None:
            return
        if theirs is not None and self._is_new(row.node_id):
            if ours.is_folder and theirs.is_folder:
                self._merge_folder(row.node_id, remote)
                return
            if not tree.places(row.node_id) and self._is_same(ours, theirs):
                self._adopt(ours, theirs)
                return
        self._copies.place_beside(row.parent, row.name, row.node_id, original=remote)

    def _is_new(self, node_id: int) -> bool:
        created = self._state.changes.nodes.get(node_id)
        return created is not None and created.is_created

    def _is_same(self, ours: NodeRecord, theirs: NodeRecord) -> bool:
        """Whether two new nodes of one name are the same thing, as far as is known by now."""
        is_new_there = self._mirrored(theirs.node_id, theirs) is None
        if not is_new_there or ours.kind != theirs.kind:
            return False
        if ours.xattrs not in (b"", theirs.xattrs):
            return False
        if ours.is_file:
            manifest_id = self._ready_manifests.get(ours.node_id)
            is_empty = not ours.size_bytes and not theirs.size_bytes
            return is_empty or (manifest_id is not None and manifest_id == theirs.manifest_id)
        return (ours.target, ours.rdev) == (theirs.target, theirs.rdev)

    def _adopt(self, ours: NodeRecord, theirs: NodeRecord) -> None:
        """Ours, which the server never saw, is theirs from now on."""
        state = self._state
        overlay = state.overlays.get(ours.node_id)
        if overlay is not None:
            state.overlays.dispose(overlay)
        state.changes.drop_node(ours.node_id)
        state.parking.unpark(ours.node_id)
        state.inodes.point(state.inodes.inode_of(ours.node_id), theirs.node_id)
        self._view.attributes.add(theirs.node_id)

    def _merge_folder(self, ours: int, theirs: int) -> None:
        """What was put into our new folder goes into theirs of the same name."""
        changes = self._state.changes
        for name, node_id in list(changes.names_in(ours).items()):
            row = changes.dentries[ours, name]
            changes.drop_dentry(row.key)
            if not node_id:
                continue
            expected = self._state.mirror.child(theirs, name)
            moved = LocalDentry(
                theirs, name, node_id, 0, changes.next_touch(), is_folder=row.is_folder
            )
            changes.put_dentry(moved)
            self._view.dentries.add((theirs, name))
            if expected:
                self._collide(moved, expected)
        self._hand_over_xattrs(ours, theirs)
        changes.drop_node(ours)
        self._state.inodes.point(self._state.inodes.inode_of(ours), theirs)
        self._view.attributes.add(theirs)

    def _hand_over_xattrs(self, ours: int, theirs: int) -> None:
        """Folders that become one have the attributes of both."""
        tree = self._state.tree
        own, other = tree.node(ours), tree.node(theirs)
        if own is not None and other is not None and own.xattrs:
            xattrs = merge_xattrs(base=b"", local=other.xattrs, remote=own.xattrs)
            if xattrs != other.xattrs:
                tree.set_attributes(other._replace(xattrs=xattrs))

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
        for node_id in sorted(changes.moved_folders()):
            if tree.node(node_id) is None:
                continue
            is_twice = len(tree.places(node_id)) > 1
            parents = {parent for parent, _ in changes.places(node_id)}
            if is_twice or any(tree.is_inside(parent, node_id) for parent in parents):
                self._drop_move_of(node_id)

    def _drop_move_of(self, node_id: int) -> None:
        changes = self._state.changes
        for row in list(changes.dentries.values()):
            if node_id in (row.node_id, row.expected):
                changes.drop_dentry(row.key)
                self._view.dentries.add(row.key)

    # Attributes ------------------------------------------------------------------------------

    def _rebase_attributes(self, node_id: int, *, is_ours: bool) -> None:
        """Attributes set on both sides: each field as whoever changed it wants it."""
        node = self._state.changes.nodes[node_id]
        remote = self._state.mirror.node(node_id)
        if remote is None:
            return
        if node.is_created:
            # Made by a batch whose answer never came, and refused when it was made once more.
            self._state.parking.unpark(node_id)
        base = self._mirrored(node_id)
        # What this device sent of its own is in `remote` too, but not in `base`: no change of
        # others. Its attributes have moved the version, its content is `is_ours`.
        is_on_base = base is not None and base.attributes_version == node.attributes_version
        merged = _attributes_of(node)
        if base is not None and is_on_base and not is_ours:
            merged = merge_attributes(
                base=_attributes_of(base), local=merged, remote=_attributes_of(remote)
            )
        rebased = node._replace(
            is_created=False,
            attributes_version=remote.attributes_version,
            mode=merged.mode,
            uid=merged.uid,
            gid=merged.gid,
            mtime_ns=merged.mtime_ns,
            ctime_ns=merged.ctime_ns,
            conflict_of=merged.mark.original,
            conflict_device=merged.mark.device,
            conflict_at_ns=merged.mark.at_ns,
            xattrs=merged.xattrs,
        )
        if rebased != node:
            self._state.changes.put_node(rebased)

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
        if remote is not None and self._is_given_back(overlay, remote):
            self._state.overlays.stand_on(overlay, Source(*_content_of(remote)))
            self._state.parking.unpark(node_id)
            return
        if remote is not None and our_revision == remote.revision:
            self._state.overlays.rebase(overlay, our_revision)
        verdict = decide_content(
            expected_revision=overlay.expected_revision,
            remote_revision=remote.revision if remote is not None else None,
            local_manifest=our_manifest,
            remote_manifest=remote.manifest_id if remote is not None else b"",
        )
        if verdict is ContentVerdict.KEEP_BOTH and self._may_merge(overlay, remote):
            return  # programs go on seeing what was written here, until it is known (`merging`)
        self._state.disputes.end(node_id)
        match verdict:
            case ContentVerdict.KEEP:
                pass
            case ContentVerdict.DONE:
                assert remote is not None
                ids = [generation.generation_id for generation in overlay.generations]
                self._state.overlays.retire(overlay, ids, Source(*_content_of(remote)))
            case ContentVerdict.KEEP_BOTH:
                self._copies.keep_both(overlay)
            case ContentVerdict.REVIVE:
                self._revival.revive_file(node_id)

    def _is_given_back(self, overlay: Overlay, remote: NodeRecord) -> bool:
        """Whether another device gave a restored server what was edited here. See `offers`."""
        source = overlay.source
        return (
            source is not None
            and self._state.has_lost(source.revision)
            and source.manifest_id == remote.manifest_id
            and overlay.node_id not in self._state.disputes
        )

    def _may_merge(self, overlay: Overlay, remote: NodeRecord | None) -> bool:
        """Whether the file is disputed, from now on or still."""
        state = self._state
        base = state.disputes.bases.get(overlay.node_id) or self._base_of(overlay)
        if base is None or remote is None:
            return False
        is_open = state.inodes.inode_of(overlay.node_id) in state.writers
        if not may_merge(
            base_bytes=base.size_bytes, our_bytes=overlay.size_bytes,
            their_bytes=remote.size_bytes, is_open_for_writing=is_open, is_wanted=self._is_merging,
        ):  # fmt: skip
            return False
        if overlay.node_id not in state.disputes:
            state.disputes.begin(base)
        return True

    def _base_of(self, overlay: Overlay) -> Source | None:
        """Return the content that the overlay was to replace, if it is known."""
        node_id, source = overlay.node_id, overlay.source
        if source is not None and source[:2] == (node_id, overlay.expected_revision):
            return source
        before = self._mirrored(node_id)
        if before is None or before.revision != overlay.expected_revision:
            return None
        return Source(*_content_of(before))


def _attributes_of(node: NodeRecord | LocalNode) -> SetAttributes:
    return SetAttributes(
        node.mode, node.uid, node.gid, node.mtime_ns, node.ctime_ns, node.mark, node.xattrs
    )


def _content_of(record: NodeRecord) -> tuple[int, int, bytes, bytes, int]:
    return (
        record.node_id, record.revision, record.manifest_id, record.entries, record.size_bytes
    )  # fmt: skip
