"""What the kernel's adapter may ask of a file system, and what a file system tells the kernel.

`FileSystem` is the one seam between `fuse` and `vfs`: an adapter (pyfuse3 today) turns requests
into these calls and decides nothing. Inodes are this mount's numbers. Each answer with
`Attributes` from `lookup`, `make_*`, `create` counts one lookup of the inode; `forget` takes
them back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Flag
from typing import NamedTuple, NewType, Protocol

Inode = NewType("Inode", int)
Handle = NewType("Handle", int)

ROOT_INODE = Inode(1)


class Attributes(NamedTuple):
    """What stat(2) shows. `mode` includes the kind (S_IFMT). Times are Unix nanoseconds."""

    inode: Inode
    mode: int
    nlink: int
    uid: int
    gid: int
    size_bytes: int
    rdev: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class AttributeChanges:
    """What setattr asks for; None leaves alone. `mode` holds permission bits (07777) only."""

    size_bytes: int | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None

    @property
    def is_chown(self) -> bool:
        """chown(2) to owners that are both "leave alone" arrives as nothing asked at all."""
        return self.uid is not None or self.gid is not None or self == AttributeChanges()

    @property
    def has_more_than_size(self) -> bool:
        others = (self.mode, self.uid, self.gid, self.atime_ns, self.mtime_ns)
        return any(value is not None for value in others)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who made the request."""

    uid: int
    gid: int
    pid: int

    @property
    def is_privileged(self) -> bool:
        """Whether set-id bits outlive what it writes. A request does not tell capabilities:
        root is taken to have CAP_FSETID, and nobody else."""
        return self.uid == 0


class RenameFlags(Flag):
    """renameat2(2)."""

    NONE = 0
    NO_REPLACE = 1
    EXCHANGE = 2


class OpenedFile(NamedTuple):
    """`keep_cache`: the kernel's pages of this inode are still this content."""

    handle: Handle
    keep_cache: bool


class FolderEntry(NamedTuple):
    """One line of a listing; `position` continues behind it."""

    name: bytes
    attributes: Attributes
    position: int


class Statistics(NamedTuple):
    """statvfs(3), from the mirrored quota. Never touches the network."""

    block_size_bytes: int
    blocks: int
    blocks_free: int
    files: int
    files_free: int
    name_bytes_max: int


class FileSystem(Protocol):
    """Raises the tree of `mountfs.errors`, nothing else."""

    async def lookup(self, parent: Inode, name: bytes) -> Attributes: ...
    async def get_attributes(self, inode: Inode) -> Attributes: ...
    async def set_attributes(
        self, inode: Inode, changes: AttributeChanges, handle: Handle | None, caller: Caller
    ) -> Attributes:
        """Set what is asked; with nothing asked (chown(2) to -1, -1), note that it was changed."""
        ...

    async def read_link(self, inode: Inode) -> bytes: ...
    async def get_xattr(self, inode: Inode, name: bytes) -> bytes: ...
    async def list_xattrs(self, inode: Inode) -> Sequence[bytes]: ...
    async def set_xattr(self, inode: Inode, name: bytes, value: bytes) -> None: ...
    async def remove_xattr(self, inode: Inode, name: bytes) -> None: ...
    async def make_folder(
        self, parent: Inode, name: bytes, mode: int, caller: Caller
    ) -> Attributes: ...
    async def make_node(
        self, parent: Inode, name: bytes, mode: int, rdev: int, caller: Caller
    ) -> Attributes: ...
    async def make_symlink(
        self, parent: Inode, name: bytes, target: bytes, caller: Caller
    ) -> Attributes: ...
    async def make_link(self, inode: Inode, parent: Inode, name: bytes) -> Attributes: ...
    async def remove_file(self, parent: Inode, name: bytes) -> None: ...
    async def remove_folder(self, parent: Inode, name: bytes) -> None: ...
    async def rename(
        self, parent: Inode, name: bytes, to_parent: Inode, to_name: bytes, flags: RenameFlags
    ) -> None: ...
    async def create(
        self, parent: Inode, name: bytes, mode: int, flags: int, caller: Caller
    ) -> tuple[OpenedFile, Attributes]: ...
    async def open(self, inode: Inode, flags: int, caller: Caller) -> OpenedFile: ...
    async def read(self, handle: Handle, offset: int, length: int) -> bytes | memoryview: ...
    async def write(self, handle: Handle, offset: int, data: bytes) -> int: ...
    async def fsync(self, handle: Handle, *, data_only: bool) -> None: ...
    async def release(self, handle: Handle) -> None: ...
    async def open_folder(self, inode: Inode) -> Handle: ...
    async def list_folder(self, handle: Handle, position: int) -> Iterable[FolderEntry]:
        """Return what follows `position` (0: from the start, `.` and `..` left out), lazily.

        No entry comes twice and none that stays is left out, whatever changes meanwhile. The
        adapter calls `count_lookup` for each entry that the kernel took.
        """
        ...

    async def release_folder(self, handle: Handle) -> None: ...
    async def fsync_folder(self, handle: Handle) -> None: ...
    async def statistics(self) -> Statistics: ...
    def count_lookup(self, inode: Inode) -> None: ...
    def forget(self, forgotten: Sequence[tuple[Inode, int]]) -> None: ...


class KernelCache(Protocol):
    """What a file system tells the kernel about changes that did not come through it.

    Every call returns at once, may be made from the event loop, never raises, and does its work
    later in threads of its own; calls coalesce; an inode or entry unknown to the kernel is fine.
    """

    def invalidate_content(self, inode: Inode) -> None:
        """Drop the pages and the attributes of `inode`."""
        ...

    def invalidate_attributes(self, inode: Inode) -> None: ...

    def invalidate_attributes_now(self, inode: Inode) -> None:
        """The exception: done on return. For what the answer to a request cannot say."""
        ...

    def invalidate_entry(self, parent: Inode, name: bytes) -> None: ...
