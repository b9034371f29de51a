"""A node as stat(2) shows it."""

import stat
from dataclasses import dataclass
from typing import Final

from backend_server.protocol.tree_messages import NodeKind
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
SET_ID_BITS: Final = stat.S_ISUID | stat.S_ISGID
KIND_OF_BITS: Final = {bits: kind for kind, bits in KIND_BITS.items()}


@dataclass(frozen=True, slots=True)
class Ownership:
    """Whose the files are: as stored (root's mounts), or all of them the mounting user's."""

    uid: int = 0
    gid: int = 0
    is_stored: bool = True


def without_set_id(mode: int) -> int:
    """Return `mode` as a change of owner or an unprivileged write leaves it. Pure.

    chown(2), write(2): set-user-ID goes, set-group-ID goes where the group may execute (elsewhere
    it once meant mandatory locking).
    """
    mode &= ~stat.S_ISUID
    return mode & ~stat.S_ISGID if mode & stat.S_IXGRP else mode


def attributes_of(
    record: NodeRecord, inode: Inode, nlink: int, ownership: Ownership, atime_ns: int
) -> Attributes:
    """Return what stat(2) shows of `record`. Pure."""
    is_stored = ownership.is_stored
    return Attributes(
        inode=inode,
        mode=KIND_BITS[NodeKind(record.kind)] | record.mode,
        nlink=nlink,
        uid=record.uid if is_stored else ownership.uid,
        gid=record.gid if is_stored else ownership.gid,
        size_bytes=record.size_bytes,
        rdev=record.rdev,
        atime_ns=atime_ns,
        mtime_ns=record.mtime_ns,
        ctime_ns=record.ctime_ns,
    )
