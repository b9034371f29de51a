"""Attributes that both sides set, brought together: a pure decision on (base, local, remote).

They travel as one (mode, owner, times), but a chmod here and a touch there want different parts of
it, and a file that is made in a folder sets the folder's times and nothing else.
"""

from typing import NamedTuple

from backend_server.protocol.extended_attributes import (
    ExtendedAttributesMalformed,
    pack_xattrs,
    unpack_xattrs,
)
from mountfs.core.conflict_mark import NO_CONFLICT, ConflictMark


class SetAttributes(NamedTuple):
    """What programs can set. Times are Unix nanoseconds."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    ctime_ns: int
    mark: ConflictMark = NO_CONFLICT
    xattrs: bytes = b""
    """Packed, see protocol/extended_attributes.py."""


def merge_attributes(
    *, base: SetAttributes, local: SetAttributes, remote: SetAttributes
) -> SetAttributes:
    """Return for each field the value of the side that changed it; ours where both did. Pure.

    A ctime never goes back.
    """

    def field(before: int, ours: int, theirs: int) -> int:
        return theirs if ours == before else ours

    return SetAttributes(
        field(base.mode, local.mode, remote.mode),
        field(base.uid, local.uid, remote.uid),
        field(base.gid, local.gid, remote.gid),
        field(base.mtime_ns, local.mtime_ns, remote.mtime_ns),
        max(local.ctime_ns, remote.ctime_ns),
        remote.mark if local.mark == base.mark else local.mark,
        merge_xattrs(base=base.xattrs, local=local.xattrs, remote=remote.xattrs),
    )


def merge_xattrs(*, base: bytes, local: bytes, remote: bytes) -> bytes:
    """Return theirs with what we set and removed, name by name; ours where both did. Pure.

    Where that is more than a node may have, theirs stay.
    """
    if local in (base, remote):
        return remote
    before, ours, merged = unpack_xattrs(base), unpack_xattrs(local), unpack_xattrs(remote)
    for name in before.keys() | ours.keys():
        if ours.get(name) == before.get(name):
            continue
        if name in ours:
            merged[name] = ours[name]
        else:
            merged.pop(name, None)
    try:
        return pack_xattrs(merged)
    except ExtendedAttributesMalformed:
        return remote
