"""What all file system calls of one mount share: the tree, the inodes, who owns what."""

from collections.abc import Callable

from backend_server.protocol.tree_messages import NodeKind
from mountfs.errors import (
    EntryExists,
    NameTooLong,
    NoSuchEntry,
    NotADirectory,
    ReadOnlyMount,
)
from mountfs.state.overlay import Overlay
from mountfs.state.records import NodeRecord
from mountfs.state.store import StateStore
from mountfs.state.tree import with_content
from mountfs.vfs.attributes import Ownership, attributes_of
from mountfs.vfs.inode_table import InodeTable, Orphan
from mountfs.vfs.interface import Attributes, Inode
from mountfs.vfs.stamps import Stamps


class View:
    """Plain functions between awaits: each leaves tree, inodes and rows in one agreement."""

    def __init__(
        self,
        state: StateStore,
        *,
        ownership: Ownership,
        is_read_only: bool,
        new_node_id: Callable[[], int],
        on_local_change: Callable[[], None],
    ) -> None:
        self.state = state
        self.tree = state.tree
        self.access_times = state.access_times
        self.table = InodeTable()
        self.stamps = Stamps(state.clock)
        self.ownership = ownership
        self.is_read_only = is_read_only
        self.new_node_id = new_node_id
        self.on_local_change = on_local_change

    def node_of(self, inode: Inode) -> int:
        return self.state.inodes.node_of(inode)

    def inode_of(self, node_id: int) -> Inode:
        inode = self.state.inodes.inode_of(node_id)
        if inode in self.table.orphans or self.state.inodes.node_of(inode) != node_id:
            # The node lost its last name here and got one again from elsewhere, while programs
            # still hold the old file; or its number is that of an inode which leads to another
            # node. Who looks now finds another inode.
            inode = self.new_node_id()
            self.state.inodes.point(inode, node_id)
        return Inode(inode)

    def record(self, inode: Inode) -> NodeRecord:
        """Return the node behind an inode, also of an orphan.

        Raises:
            NoSuchEntry: Nothing is behind it any more.
        """
        orphan = self.table.orphans.get(inode)
        if orphan is not None:
            if orphan.overlay is not None:
                return with_content(orphan.record, orphan.overlay, 0)
            return orphan.record
        record = self.tree.node(self.node_of(inode))
        if record is None:
            raise NoSuchEntry(f"inode {inode}")
        return record

    def overlay(self, inode: Inode) -> Overlay | None:
        orphan = self.table.orphans.get(inode)
        if orphan is not None:
            return orphan.overlay
        return self.state.overlays.get(self.node_of(inode))

    def folder(self, inode: Inode) -> NodeRecord:
        """Return a folder that has a name. Raises `NoSuchEntry` or `NotADirectory`."""
        if inode in self.table.orphans:
            raise NoSuchEntry("the folder was removed")
        record = self.record(inode)
        if not record.is_folder:
            raise NotADirectory(f"inode {inode}")
        return record

    def attributes(self, inode: Inode, record: NodeRecord | None = None) -> Attributes:
        record = record or self.record(inode)
        return attributes_of(
            record,
            inode,
            0 if inode in self.table.orphans else self.link_count(record),
            self.ownership,
            self.access_times.of(inode, record.mtime_ns),
        )

    def link_count(self, record: NodeRecord) -> int:
        """Return st_nlink: a file's names; a folder's own, its ".", and ".." of those in it."""
        if record.kind == NodeKind.FOLDER:
            return 2 + self.tree.subfolders_count(record.node_id)
        return self.tree.names_count(record.node_id)

    def check_writable(self) -> None:
        if self.is_read_only:
            raise ReadOnlyMount("the drive is mounted read-only")

    def free_name(self, parent: Inode, name: bytes) -> NodeRecord:
        """Return the folder, in which `name` is free.

        Raises:
            EntryExists, NameTooLong, NoSuchEntry, NotADirectory, ReadOnlyMount
        """
        self.check_writable()
        if len(name) > 255:
            raise NameTooLong("a name has at most 255 bytes")
        folder = self.folder(parent)
        if self.tree.child(folder.node_id, name):
            raise EntryExists(f"{name!r}")
        return folder

    def entry(self, parent: Inode, name: bytes) -> tuple[NodeRecord, NodeRecord]:
        """Return the folder and what `name` leads to in it. Raises `NoSuchEntry`."""
        folder = self.folder(parent)
        node_id = self.tree.child(folder.node_id, name)
        record = self.tree.node(node_id) if node_id else None
        if record is None:
            raise NoSuchEntry(f"{name!r}")
        return folder, record

    def touch_folder(self, folder: NodeRecord, name: bytes, now_ns: int) -> None:
        """A folder's times follow its entries, of which `name` changed."""
        current = self.tree.node(folder.node_id)
        if current is not None:
            self.tree.set_folder_times(current._replace(mtime_ns=now_ns, ctime_ns=now_ns), name)

    def unlinked(self, record: NodeRecord) -> None:
        """A dentry of the node was taken away: if it was the last, only handles hold it."""
        node_id = record.node_id
        now_ns = self.stamps.now_ns()
        if self.tree.places(node_id):
            self.tree.set_attributes(record._replace(ctime_ns=now_ns))
            return
        inode = self.inode_of(node_id)
        overlay = self.state.overlays.get(node_id)
        if self.table.is_open(inode) or self.table.is_known(inode):
            if overlay is not None:
                self.state.overlays.detach(overlay)
            self.table.orphans[inode] = Orphan(record._replace(ctime_ns=now_ns), overlay)
            self.state.database.if_undone(lambda: self._not_unlinked(inode))
        else:
            self.access_times.forget(inode)
            if overlay is not None:
                self.state.overlays.dispose(overlay)
        changes = self.state.changes
        if node_id not in changes.in_flight_nodes:
            changes.drop_node(node_id)
        self.state.parking.unpark(node_id)

    def _not_unlinked(self, inode: Inode) -> None:
        self.table.orphans.pop(inode, None)

    def disposed(self, inode: Inode, orphan: Orphan | None) -> None:
        """Nobody can reach the orphan any more."""
        # Content first: on a full disk the rest may fail, and this makes room.
        if orphan is not None and orphan.overlay is not None:
            self.state.overlays.dispose(orphan.overlay)
        if self.state.inodes.node_of(inode) != inode:
            self.let_go(inode)
        if orphan is not None:
            self.access_times.forget(inode)

    def let_go(self, inode: Inode) -> None:
        """Forget what is kept of an inode, if its node is gone for good and nobody can reach it."""
        node_id = self.state.inodes.node_of(inode)
        is_reachable = self.table.is_known(inode) or self.table.is_open(inode)
        if not is_reachable and self.tree.node(node_id) is None:
            self.access_times.forget(inode)
            self.state.inodes.forget_node(node_id)
