"""The calls that make, remove and move names."""

import stat

from backend_server.protocol.limits import LINKS_MAX, NAME_BYTES_MAX, SYMLINK_TARGET_BYTES_MAX
from backend_server.protocol.tree_messages import NodeKind
from mountfs.errors import (
    DirectoryNotEmpty,
    EntryExists,
    InvalidArgument,
    IsADirectory,
    NameTooLong,
    NoSuchEntry,
    NotADirectory,
    OperationNotPermitted,
    TooManyLinks,
)
from mountfs.state.records import NodeRecord
from mountfs.vfs.attributes import KIND_OF_BITS
from mountfs.vfs.interface import Attributes, Caller, Inode, RenameFlags
from mountfs.vfs.view import View


class Names(View):
    """Every call is one transaction, and is over before anyone else runs."""

    async def lookup(self, parent: Inode, name: bytes) -> Attributes:
        if len(name) > NAME_BYTES_MAX:
            raise NameTooLong("a name has at most 255 bytes")
        _, record = self.entry(parent, name)
        inode = self.inode_of(record.node_id)
        self.table.count_lookup(inode)
        return self.attributes(inode, record)

    async def make_folder(
        self, parent: Inode, name: bytes, mode: int, caller: Caller
    ) -> Attributes:
        return self.made(parent, name, NodeKind.FOLDER, mode, caller)

    async def make_node(
        self, parent: Inode, name: bytes, mode: int, rdev: int, caller: Caller
    ) -> Attributes:
        kind = KIND_OF_BITS.get(stat.S_IFMT(mode) or stat.S_IFREG)
        if kind is None or kind in (NodeKind.FOLDER, NodeKind.SYMLINK):
            raise InvalidArgument("mknod makes files, FIFOs, sockets and devices")
        return self.made(parent, name, kind, mode, caller, rdev=rdev)

    async def make_symlink(
        self, parent: Inode, name: bytes, target: bytes, caller: Caller
    ) -> Attributes:
        if len(target) > SYMLINK_TARGET_BYTES_MAX:
            raise NameTooLong("a symlink's target has at most 4095 bytes")
        return self.made(parent, name, NodeKind.SYMLINK, 0o777, caller, target=target)

    async def make_link(self, inode: Inode, parent: Inode, name: bytes) -> Attributes:
        folder = self.free_name(parent, name)
        record = self.record(inode)
        if record.is_folder:
            raise OperationNotPermitted("a folder has one name")
        if inode in self.table.orphans:
            raise NoSuchEntry("the file was removed")
        if self.tree.names_count(record.node_id) >= LINKS_MAX:
            raise TooManyLinks(f"a file has at most {LINKS_MAX:,} names")
        now_ns = self.stamps.now_ns()
        with self.state.database.transaction():
            self.tree.set_child(folder.node_id, name, record.node_id, at_ns=now_ns)
            self.touch_folder(folder, name, now_ns)
        self.table.count_lookup(inode)
        self.on_local_change()
        return self.attributes(inode)

    async def remove_file(self, parent: Inode, name: bytes) -> None:
        self.check_writable()
        folder, record = self.entry(parent, name)
        if record.is_folder:
            raise IsADirectory(f"{name!r}")
        self._remove(folder, name, record)

    async def remove_folder(self, parent: Inode, name: bytes) -> None:
        self.check_writable()
        folder, record = self.entry(parent, name)
        if not record.is_folder:
            raise NotADirectory(f"{name!r}")
        if self.tree.has_children(record.node_id):
            raise DirectoryNotEmpty(f"{name!r}")
        self._remove(folder, name, record)

    async def rename(
        self, parent: Inode, name: bytes, to_parent: Inode, to_name: bytes, flags: RenameFlags
    ) -> None:
        self.check_writable()
        if len(to_name) > NAME_BYTES_MAX:
            raise NameTooLong("a name has at most 255 bytes")
        folder, record = self.entry(parent, name)
        to_folder = self.folder(to_parent)
        victim_id = self.tree.child(to_folder.node_id, to_name)
        victim = self.tree.node(victim_id) if victim_id else None
        if victim is not None and RenameFlags.NO_REPLACE in flags:
            raise EntryExists(f"{to_name!r}")
        if record.is_folder and self.tree.is_inside(to_folder.node_id, record.node_id):
            raise InvalidArgument("a folder cannot move into itself")
        if RenameFlags.EXCHANGE in flags:
            if victim is None:
                raise NoSuchEntry(f"{to_name!r}")
            if victim.is_folder and self.tree.is_inside(folder.node_id, victim.node_id):
                raise InvalidArgument("a folder cannot move into itself")
        elif victim is not None:
            if victim.node_id == record.node_id:
                return  # two names of one file: rename(2) leaves both
            if record.is_folder and not victim.is_folder:
                raise NotADirectory(f"{to_name!r}")
            if victim.is_folder and not record.is_folder:
                raise IsADirectory(f"{to_name!r}")
            if victim.is_folder and self.tree.has_children(victim.node_id):
                raise DirectoryNotEmpty(f"{to_name!r}")
        is_exchange = RenameFlags.EXCHANGE in flags
        now_ns = self.stamps.now_ns()
        with self.state.database.transaction():
            left_behind = victim.node_id if is_exchange and victim is not None else 0
            self.tree.set_child(folder.node_id, name, left_behind, at_ns=now_ns)
            self.tree.set_child(to_folder.node_id, to_name, record.node_id, at_ns=now_ns)
            if victim is not None and not is_exchange:
                self.unlinked(victim)
            self.touch_folder(folder, name, now_ns)
            if to_folder.node_id != folder.node_id:
                self.touch_folder(to_folder, to_name, now_ns)
        self.on_local_change()

    def made(
        self,
        parent: Inode,
        name: bytes,
        kind: NodeKind,
        mode: int,
        caller: Caller,
        *,
        target: bytes = b"",
        rdev: int = 0,
    ) -> Attributes:
        """Make a node with one name, and count a lookup of it."""
        folder = self.free_name(parent, name)
        now_ns = self.stamps.now_ns()
        mode, gid = stat.S_IMODE(mode), caller.gid
        if folder.mode & stat.S_ISGID:  # inode(7): the folder's group is inherited
            gid = folder.gid
            if kind is NodeKind.FOLDER:
                mode |= stat.S_ISGID
        is_stored = self.ownership.is_stored
        record = NodeRecord(
            node_id=self.new_node_id(),
            kind=int(kind),
            mode=mode,
            uid=caller.uid if is_stored else 0,
            gid=gid if is_stored else 0,
            mtime_ns=now_ns,
            ctime_ns=now_ns,
            attributes_version=0,
            size_bytes=len(target),
            revision=0,
            manifest_id=b"",
            entries=b"",
            target=target,
            rdev=rdev,
        )
        with self.state.database.transaction():
            self.tree.create(record)
            self.tree.set_child(folder.node_id, name, record.node_id, at_ns=now_ns)
            self.touch_folder(folder, name, now_ns)
        inode = self.inode_of(record.node_id)
        self.access_times.read(inode, now_ns)
        self.table.count_lookup(inode)
        self.on_local_change()
        return self.attributes(inode, record)

    def _remove(self, folder: NodeRecord, name: bytes, record: NodeRecord) -> None:
        with self.state.database.transaction():
            now_ns = self.stamps.now_ns()
            self.tree.set_child(folder.node_id, name, 0, at_ns=now_ns)
            self.unlinked(record)
            self.touch_folder(folder, name, now_ns)
        self.on_local_change()
