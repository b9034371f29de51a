"""A `FileSystem` in memory: small, and real enough to pass the contract suite.

It carries the tests of the kernel's adapter and the daemon. Permissions are the kernel's matter.
Inodes live while they have a name, are open, or the kernel remembers them.
"""

import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from backend_server.protocol.extended_attributes import unpack_xattrs
from mountfs.errors import (
    BadHandle,
    DirectoryNotEmpty,
    EntryExists,
    InvalidArgument,
    IsADirectory,
    NameTooLong,
    NoSuchEntry,
    NotADirectory,
    OperationNotPermitted,
)
from mountfs.vfs.attributes import without_set_id
from mountfs.vfs.interface import (
    ROOT_INODE,
    AttributeChanges,
    Attributes,
    Caller,
    FolderEntry,
    Handle,
    Inode,
    OpenedFile,
    RenameFlags,
    Statistics,
)
from mountfs.vfs.xattrs import value_of, with_value, without_value

NAME_BYTES_MAX = 255
_NOBODY = Caller(uid=65_534, gid=65_534, pid=0)


@dataclass(eq=False)
class _Node:
    inode: Inode
    mode: int
    uid: int = 0
    gid: int = 0
    rdev: int = 0
    nlink: int = 0
    lookups: int = 0
    handles: int = 0
    data: bytearray = field(default_factory=bytearray)
    target: bytes = b""
    xattrs: bytes = b""
    entries: dict[bytes, "_Entry"] = field(default_factory=dict)
    parent: Inode = ROOT_INODE
    atime_ns: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    def changed(self, *, content: bool = False) -> None:
        self.ctime_ns = time.time_ns()
        if content:
            self.mtime_ns = self.ctime_ns


@dataclass(eq=False)
class _Entry:
    """`position` stays when a rename replaces what the name leads to."""

    inode: Inode
    position: int


@dataclass(eq=False)
class _Opened:
    node: _Node
    caller: Caller
    flags: int = 0
    listing: list[tuple[int, bytes]] = field(default_factory=list)


class MemoryFileSystem:
    """Implements `mountfs.vfs.interface.FileSystem`."""

    def __init__(self) -> None:
        self._nodes: dict[Inode, _Node] = {}
        self._opened: dict[Handle, _Opened] = {}
        self._inode_next = int(ROOT_INODE)
        self._handle_next = 1
        self._position_next = 1
        root = self._new_node(stat.S_IFDIR | 0o755, Caller(os.getuid(), os.getgid(), 0))
        root.nlink = 2

    # Names and attributes --------------------------------------------------------------------

    async def lookup(self, parent: Inode, name: bytes) -> Attributes:
        node = self._child(self._folder(parent), name)
        node.lookups += 1
        return _attributes(node)

    async def get_attributes(self, inode: Inode) -> Attributes:
        return _attributes(self._node(inode))

    async def set_attributes(
        self, inode: Inode, changes: AttributeChanges, handle: Handle | None, caller: Caller
    ) -> Attributes:
        node = self._node(inode)
        if changes.size_bytes is not None:
            if node.is_folder:
                raise IsADirectory
            _resize(node, changes.size_bytes)
            node.changed(content=True)
            _lose_set_id(node, caller)
        if changes.mode is not None:
            node.mode = stat.S_IFMT(node.mode) | changes.mode
        for name in ("uid", "gid", "atime_ns", "mtime_ns"):
            value = getattr(changes, name)
            if value is not None:
                setattr(node, name, value)
        if changes.is_chown and not node.is_folder:
            node.mode = without_set_id(node.mode)
        node.changed()
        return _attributes(node)

    async def read_link(self, inode: Inode) -> bytes:
        node = self._node(inode)
        if not stat.S_ISLNK(node.mode):
            raise InvalidArgument
        return node.target

    async def get_xattr(self, inode: Inode, name: bytes) -> bytes:
        return value_of(self._node(inode).xattrs, name)

    async def list_xattrs(self, inode: Inode) -> Sequence[bytes]:
        return list(unpack_xattrs(self._node(inode).xattrs))

    async def set_xattr(self, inode: Inode, name: bytes, value: bytes) -> None:
        node = self._node(inode)
        node.xattrs = with_value(node.xattrs, name, value)
        node.changed()

    async def remove_xattr(self, inode: Inode, name: bytes) -> None:
        node = self._node(inode)
        node.xattrs = without_value(node.xattrs, name)
        node.changed()

    async def make_folder(
        self, parent: Inode, name: bytes, mode: int, caller: Caller
    ) -> Attributes:
        folder = self._folder(parent)
        node = self._place_new(folder, name, stat.S_IFDIR | mode, caller)
        node.nlink = 2
        node.parent = parent
        folder.nlink += 1
        return _attributes(node)

    async def make_node(
        self, parent: Inode, name: bytes, mode: int, rdev: int, caller: Caller
    ) -> Attributes:
        node = self._place_new(self._folder(parent), name, mode, caller)
        node.rdev = rdev
        return _attributes(node)

    async def make_symlink(
        self, parent: Inode, name: bytes, target: bytes, caller: Caller
    ) -> Attributes:
        node = self._place_new(self._folder(parent), name, stat.S_IFLNK | 0o777, caller)
        node.target = target
        return _attributes(node)

    async def make_link(self, inode: Inode, parent: Inode, name: bytes) -> Attributes:
        node = self._node(inode)
        if node.is_folder:
            raise OperationNotPermitted
        if not node.nlink:
            raise NoSuchEntry
        folder = self._folder(parent)
        self._check_absent(folder, name)
        self._put(folder, name, inode)
        node.nlink += 1
        node.lookups += 1
        node.changed()
        return _attributes(node)

    async def remove_file(self, parent: Inode, name: bytes) -> None:
        folder = self._folder(parent)
        node = self._child(folder, name)
        if node.is_folder:
            raise IsADirectory
        self._take_out(folder, name)
        self._lose_name(node)

    async def remove_folder(self, parent: Inode, name: bytes) -> None:
        folder = self._folder(parent)
        node = self._child(folder, name)
        if not node.is_folder:
            raise NotADirectory
        if node.entries:
            raise DirectoryNotEmpty
        self._take_out(folder, name)
        folder.nlink -= 1
        self._lose_name(node)

    async def rename(
        self, parent: Inode, name: bytes, to_parent: Inode, to_name: bytes, flags: RenameFlags
    ) -> None:
        source, target = self._folder(parent), self._folder(to_parent)
        moved = self._child(source, name)
        replaced = self._child_or_none(target, to_name)
        self._refuse_cycle(moved, target)
        if flags is RenameFlags.EXCHANGE:
            if replaced is None:
                raise NoSuchEntry
            self._refuse_cycle(replaced, source)
            source.entries[name].inode = replaced.inode
            target.entries[to_name].inode = moved.inode
            self._adopt(replaced, target, source)
        else:
            if replaced is not None and flags is RenameFlags.NO_REPLACE:
                raise EntryExists
            if replaced is moved:
                return
            if replaced is not None:
                self._refuse_replacing(moved, replaced)
                target.entries[to_name].inode = moved.inode
                if replaced.is_folder:
                    target.nlink -= 1
                self._lose_name(replaced)
            else:
                self._put(target, to_name, moved.inode)
            self._take_out(source, name)
        self._adopt(moved, source, target)
        moved.changed()
        for folder in (source, target):
            folder.changed(content=True)

    # Content ---------------------------------------------------------------------------------

    async def create(
        self, parent: Inode, name: bytes, mode: int, flags: int, caller: Caller
    ) -> tuple[OpenedFile, Attributes]:
        node = self._place_new(self._folder(parent), name, stat.S_IFREG | mode, caller)
        return OpenedFile(self._open(node, flags, caller), keep_cache=True), _attributes(node)

    async def open(self, inode: Inode, flags: int, caller: Caller) -> OpenedFile:
        node = self._node(inode)
        if node.is_folder:
            raise IsADirectory
        if flags & os.O_TRUNC:
            _resize(node, 0)
            node.changed(content=True)
            _lose_set_id(node, caller)
        return OpenedFile(self._open(node, flags, caller), keep_cache=True)

    async def read(self, handle: Handle, offset: int, length: int) -> bytes | memoryview:
        return bytes(self._of(handle).node.data[offset : offset + length])

    async def write(self, handle: Handle, offset: int, data: bytes) -> int:
        opened = self._of(handle)
        node = opened.node
        if opened.flags & os.O_APPEND:
            offset = len(node.data)
        if offset > len(node.data):
            _resize(node, offset)
        node.data[offset : offset + len(data)] = data
        node.changed(content=True)
        _lose_set_id(node, opened.caller)
        return len(data)

    async def fsync(self, handle: Handle, *, data_only: bool) -> None:
        self._of(handle)

    async def release(self, handle: Handle) -> None:
        node = self._of(handle).node
        del self._opened[handle]
        node.handles -= 1
        self._reap(node)

    # Folders ---------------------------------------------------------------------------------

    async def open_folder(self, inode: Inode) -> Handle:
        return self._open(self._folder(inode), 0, _NOBODY)

    async def list_folder(self, handle: Handle, position: int) -> Iterator[FolderEntry]:
        opened = self._of(handle)
        if position == 0:
            entries = opened.node.entries.items()
            opened.listing = [(entry.position, name) for name, entry in entries]
        return self._listed(opened, position)

    def _listed(self, opened: _Opened, position: int) -> Iterator[FolderEntry]:
        for at, name in opened.listing:
            entry = opened.node.entries.get(name)
            if at > position and entry is not None:
                yield FolderEntry(name, _attributes(self._nodes[entry.inode]), at)

    async def release_folder(self, handle: Handle) -> None:
        await self.release(handle)

    async def fsync_folder(self, handle: Handle) -> None:
        self._of(handle)

    async def statistics(self) -> Statistics:
        return Statistics(4096, 1 << 20, 1 << 19, 1 << 20, 1 << 19, NAME_BYTES_MAX)

    def count_lookup(self, inode: Inode) -> None:
        self._nodes[inode].lookups += 1

    def forget(self, forgotten: Sequence[tuple[Inode, int]]) -> None:
        for inode, count in forgotten:
            node = self._nodes.get(inode)
            if node is not None:
                node.lookups = max(0, node.lookups - count)
                self._reap(node)

    @property
    def node_count(self) -> int:
        """Nodes that live, with or without a name."""
        return len(self._nodes)

    # Inside ----------------------------------------------------------------------------------

    def _node(self, inode: Inode) -> _Node:
        try:
            return self._nodes[inode]
        except KeyError:
            raise NoSuchEntry(f"inode {inode}") from None

    def _folder(self, inode: Inode) -> _Node:
        node = self._node(inode)
        if not node.is_folder:
            raise NotADirectory
        return node

    def _child_or_none(self, folder: _Node, name: bytes) -> _Node | None:
        if len(name) > NAME_BYTES_MAX:
            raise NameTooLong
        entry = folder.entries.get(name)
        return None if entry is None else self._nodes[entry.inode]

    def _child(self, folder: _Node, name: bytes) -> _Node:
        node = self._child_or_none(folder, name)
        if node is None:
            raise NoSuchEntry(os.fsdecode(name))
        return node

    def _check_absent(self, folder: _Node, name: bytes) -> None:
        if self._child_or_none(folder, name) is not None:
            raise EntryExists(os.fsdecode(name))
        if not folder.nlink:
            raise NoSuchEntry("the folder is removed")

    def _new_node(self, mode: int, caller: Caller) -> _Node:
        node = _Node(Inode(self._inode_next), mode, caller.uid, caller.gid)
        self._inode_next += 1
        node.atime_ns = node.mtime_ns = node.ctime_ns = time.time_ns()
        self._nodes[node.inode] = node
        return node

    def _place_new(self, folder: _Node, name: bytes, mode: int, caller: Caller) -> _Node:
        self._check_absent(folder, name)
        node = self._new_node(mode, caller)
        node.nlink = 1
        node.lookups = 1
        self._put(folder, name, node.inode)
        return node

    def _put(self, folder: _Node, name: bytes, inode: Inode) -> None:
        folder.entries[name] = _Entry(inode, self._position_next)
        self._position_next += 1
        folder.changed(content=True)

    def _take_out(self, folder: _Node, name: bytes) -> None:
        del folder.entries[name]
        folder.changed(content=True)

    def _lose_name(self, node: _Node) -> None:
        node.nlink = 0 if node.is_folder else node.nlink - 1
        node.changed()
        self._reap(node)

    def _reap(self, node: _Node) -> None:
        if not (node.nlink or node.handles or node.lookups):
            self._nodes.pop(node.inode, None)

    def _refuse_cycle(self, moved: _Node, into: _Node) -> None:
        if not moved.is_folder:
            return
        while into.inode != ROOT_INODE:
            if into is moved:
                raise InvalidArgument("a folder cannot go into itself")
            into = self._nodes[into.parent]

    def _refuse_replacing(self, moved: _Node, replaced: _Node) -> None:
        if replaced.is_folder and not moved.is_folder:
            raise IsADirectory
        if moved.is_folder and not replaced.is_folder:
            raise NotADirectory
        if replaced.entries:
            raise DirectoryNotEmpty

    def _adopt(self, node: _Node, source: _Node, target: _Node) -> None:
        if node.is_folder and source is not target:
            node.parent = target.inode
            source.nlink -= 1
            target.nlink += 1

    def _open(self, node: _Node, flags: int, caller: Caller) -> Handle:
        handle = Handle(self._handle_next)
        self._handle_next += 1
        self._opened[handle] = _Opened(node, caller, flags)
        node.handles += 1
        return handle

    def _of(self, handle: Handle) -> _Opened:
        try:
            return self._opened[handle]
        except KeyError:
            raise BadHandle(f"handle {handle}") from None


def _lose_set_id(node: _Node, caller: Caller) -> None:
    if not caller.is_privileged:
        node.mode = without_set_id(node.mode)


def _resize(node: _Node, size_bytes: int) -> None:
    if size_bytes < len(node.data):
        del node.data[size_bytes:]
    else:
        node.data.extend(bytes(size_bytes - len(node.data)))


def _attributes(node: _Node) -> Attributes:
    return Attributes(
        inode=node.inode,
        mode=node.mode,
        nlink=node.nlink,
        uid=node.uid,
        gid=node.gid,
        size_bytes=len(node.target) if stat.S_ISLNK(node.mode) else len(node.data),
        rdev=node.rdev,
        atime_ns=node.atime_ns,
        mtime_ns=node.mtime_ns,
        ctime_ns=node.ctime_ns,
    )
