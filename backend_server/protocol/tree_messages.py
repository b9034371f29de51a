"""The tree as states: snapshot, changes, poll.

Structs that come by the thousand are arrays on the wire: fields are only ever appended. Names and
symlink targets are bytes, times are Unix nanoseconds, sizes are bytes.
"""

from enum import IntEnum

import msgspec

from backend_server.protocol.lost_past import LostPast


class NodeKind(IntEnum):
    REMOVED = 0
    FILE = 1
    FOLDER = 2
    SYMLINK = 3
    FIFO = 4
    SOCKET = 5
    CHARACTER_DEVICE = 6
    BLOCK_DEVICE = 7


class NodeState(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """A node as of `sequence`. `kind` REMOVED is a tombstone, whose other fields mean nothing.

    `mode` holds the permission bits (07777), not the kind. `revision` is the content's version (0:
    never had content), `attributes_version` that of mode, owner and times. `entries` are the
    packed entries of the manifest when it has at most EMBEDDED_ENTRIES_MAX, else empty: fetch by
    `manifest_id`.

    `conflict_of`: the node that this is a conflict copy of, made by `conflict_device` at
    `conflict_at_ns`; 0: none, or settled.
    """

    node_id: int
    sequence: int
    kind: NodeKind
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    attributes_version: int = 0
    size_bytes: int = 0
    revision: int = 0
    manifest_id: bytes = b""
    entries: bytes = b""
    target: bytes = b""
    rdev: int = 0
    xattrs: bytes = b""
    """Packed, see extended_attributes.py; of the attributes' version."""
    conflict_of: int = 0
    conflict_device: str = ""
    conflict_at_ns: int = 0


class DentryState(msgspec.Struct, frozen=True, array_like=True):
    """(parent, name) leads to `node_id` as of `sequence`; 0 is "to nothing"."""

    parent: int
    name: bytes
    node_id: int
    sequence: int


class QuotaState(msgspec.Struct, frozen=True, array_like=True):
    """`used_bytes` of heads and trash; `reserved_bytes` of pending revisions on top."""

    limit_bytes: int
    used_bytes: int
    reserved_bytes: int


class ChangesPage(msgspec.Struct, frozen=True):
    """A page of GET snapshot or GET changes: msgpack.

    States are coalesced: each row stands as it is now. Pages follow the journal's order, so a row
    that changes while pages are read comes again on a later one. When `has_more` is false the
    pages together are the drive as of `consistent_at`, and only then may they be applied, all in
    one transaction. `cursor` continues behind this page.

    `applied_through`: every operation of the asking device up to this number has been answered and
    is contained. A snapshot begins without tombstones: only what is removed while its pages are
    read comes as one, on a later page.

    `lost`: what the drive lost of the past that the reader has seen (GET snapshot, `since`), for
    its database came back from a backup; None: nothing.
    """

    cursor: str
    consistent_at: int
    has_more: bool
    nodes: list[NodeState]
    dentries: list[DentryState]
    applied_through: int
    quota: QuotaState
    lost: LostPast | None = None


class PollRequest(msgspec.Struct, frozen=True):
    """POST changes/poll (JSON): drive id to the cursor that the device has applied."""

    cursors: dict[str, str]


class PollAnswer(msgspec.Struct, frozen=True):
    """Drives that moved past their cursor; empty after a quiet POLL_HOLD_S."""

    moved: list[str]
    retry_after_s: float = 0.0
