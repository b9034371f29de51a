"""A node as stat(2) shows it."""

import stat
from dataclasses import dataclass
from typing import Final

from backend_server.protocol.messages import NodeKind
from mountfs.state.records import NodeRecord
from mountfs.vfs.interface import Attributes, Inode

KIND_BITS: Final[dict[NodeKind, int]] = {
    NodeKind.FILE: stat.S_IFREG,
    NodeKind.FOLDER: stat.S_IFDIR,
    NodeKind.SYMLINK: stat.S_IFLNK,
    NodeKind.FIFO: stat.S_IFIFO,
    NodeKind.SOCKET: stat.S_IFSOCK,
    NodeKind.CHARACTER_DEVICE: stat.S_IFCHR,
    NodeKind.BLOCK_DEVICE: stat.S_IFBLK,
}
KIND_OF_BITS: Final = {bits: kind for kind, bits in KIND_BITS.items()}


@dataclass(frozen=True, slots=True)
class Ownership:
    """Whose the files are: as stored (root's mounts), or all of them the mounting user's."""

    uid: int = 0
    gid: int = 0
    is_stored: bool = True


def attributes_of(record: NodeRecord, inode: Inode, nlink: int, ownership: Ownership) -> Attributes:
    """Return what stat(2) shows of `record`. Pure.

    Access times are not kept: reading shows the later of the other two, as relatime would after
    the first read.
    """
    is_stored = ownership.is_stored
    return Attributes(
        inode=inode,
        mode=KIND_BITS[NodeKind(record.kind)] | record.mode,
        nlink=nlink,
        uid=record.uid if is_stored else ownership.uid,
        gid=record.gid if is_stored else ownership.gid,
        size_bytes=record.size_bytes,
        rdev=record.rdev,
        atime_ns=max(record.mtime_ns, 0),
        mtime_ns=record.mtime_ns,
        ctime_ns=record.ctime_ns,
    )
