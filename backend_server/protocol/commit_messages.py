"""What devices ask to be changed, in batches, and what they are answered: msgpack.

Arrays on the wire: fields are only ever appended. Names and symlink targets are bytes, times are
Unix nanoseconds, sizes are bytes.
"""

from enum import IntEnum

import msgspec

from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.manifests import Splice
from backend_server.protocol.tree_messages import NodeKind, QuotaState


class InlineBlock(msgspec.Struct, frozen=True, array_like=True):
    """A chunk whose block rides in the commit. `base` as in `BlockHeader`."""

    chunk_id: bytes
    block: bytes
    base: bytes = b""


class NewContent(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """The content of a revision to be.

    The manifest comes as packed `entries`, as a `splice` of a manifest that the drive knows, or,
    when both are absent, as the id of one that it knows (a copied file costs a line). Its id must
    come out as `manifest_id`, its size as `size_bytes`. Chunks are in `inline`, were sent under
    `upload_id`, or are in the drive already.
    """

    manifest_id: bytes
    size_bytes: int
    entries: bytes = b""
    splice: Splice | None = None
    inline: list[InlineBlock] = []
    upload_id: bytes = b""


class CreateNode(msgspec.Struct, frozen=True, array_like=True, tag="create"):
    """Make a node and its first dentry, which must be absent. Also first content, for a file.

    `conflict_*`: as in `NodeState`.
    """

    number: int
    group: int
    parent: int
    name: bytes
    node_id: int
    kind: NodeKind
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    ctime_ns: int
    target: bytes = b""
    rdev: int = 0
    content: NewContent | None = None
    xattrs: bytes = b""
    conflict_of: int = 0
    conflict_device: str = ""
    conflict_at_ns: int = 0


class DentryChange(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """(parent, name) leads to `expected` now and to `node_id` after; 0 is "to nothing".

    `ctime_ns`: when the program did this, which becomes the node's ctime; 0: as the operation says.
    """

    parent: int
    name: bytes
    expected: int
    node_id: int
    ctime_ns: int = 0


class KnownHead(msgspec.Struct, frozen=True, array_like=True):
    """The head of a file that the caller has seen."""

    node_id: int
    revision: int


class PlaceNodes(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, tag="place"):
    """Change dentries, all at once: link, remove, rename, exchange and any cycle of renames.

    Judged by its outcome only: a folder ends with one dentry, or with none and empty; no folder
    is inside itself; a node that ends without dentries becomes a tombstone. Removing never beats
    editing: of each file that it may leave without a dentry the operation says in `heads` what it
    has seen, and is stale when there is a newer head.
    """

    number: int
    group: int
    changes: list[DentryChange]
    ctime_ns: int
    heads: list[KnownHead] = []


class SetContent(msgspec.Struct, frozen=True, array_like=True, tag="content"):
    """Make a new head of a file whose head is `base_revision`.

    `merged_from`: the content is that head brought together with an edit that the device had made
    on top of this older revision; 0: it is no merge.
    """

    number: int
    group: int
    node_id: int
    base_revision: int
    content: NewContent
    mtime_ns: int
    ctime_ns: int
    merged_from: int = 0


class SetAttributes(
    msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, tag="attributes"
):
    """Set mode, owner, times and extended attributes of a node whose attributes are of version
    `base_version`.

    A content has no such version, and brings a time: who did not set `mtime_ns` says so, and the
    node keeps the one that it has by then. None leaves alone: `xattrs`, and `conflict_of` what the
    node says of conflicts, where 0 settles it.
    """

    number: int
    group: int
    node_id: int
    base_version: int
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    ctime_ns: int
    xattrs: bytes | None = None
    is_mtime_set: bool = True
    conflict_of: int | None = None
    conflict_device: str = ""
    conflict_at_ns: int = 0


Operation = CreateNode | PlaceNodes | SetContent | SetAttributes


class CommitRequest(msgspec.Struct, frozen=True):
    """POST commits (msgpack): operations in order, numbered without gaps by device and drive.

    Operations of the same `group` (not 0, contiguous) are made together or not at all. The server
    answers a number that it has answered before with the same answer, until the device says, here,
    that it has the answers up to `answered_through`.
    """

    answered_through: int
    operations: list[Operation]


class Outcome(IntEnum):
    APPLIED = 0
    """Durable. `sequence` says where in the journal; it is the new version or revision too."""
    STALE = 1
    """Not made: content, attributes or a dentry is not what the operation expected. Pull first."""
    MISSING = 2
    """Not made: the server lacks `missing` chunks (or knows no such manifest, when empty)."""
    REFUSED = 3
    """Not made, and will not be: `code` says why."""
    SKIPPED = 4
    """Not made, because operation `because` of its group was not."""


class OperationAnswer(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    number: int
    outcome: Outcome
    sequence: int = 0
    code: ErrorCode | None = None
    missing: list[bytes] = []
    because: int = 0


class CommitAnswer(msgspec.Struct, frozen=True):
    """One answer an operation, in order; `quota` as it is after them."""

    answers: list[OperationAnswer]
    quota: QuotaState
