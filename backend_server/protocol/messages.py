"""The calls of `/v1`: one Struct a request or answer.

Single calls are JSON; batches and feeds are msgpack (`encode` / `decode_*` here), and blocks ride
in frames (`frames.py`). Structs of the hot paths are arrays on the wire: fields are only ever
appended. Names and symlink targets are bytes, times are Unix nanoseconds, sizes are bytes.
"""

from enum import IntEnum
from typing import Final, TypeVar

import msgspec

from backend_server.protocol.chunking import ChunkerParameters
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.lost_past import LostPast
from backend_server.protocol.manifests import Splice

T = TypeVar("T")

MSGPACK: Final = "application/vnd.msgpack"
FRAMES: Final = "application/vnd.mountfs.frames"

_encoder = msgspec.msgpack.Encoder()


class MessageMalformed(ValueError):
    """Bytes that are not the message they should be."""


def encode(message: object) -> bytes:
    """Return `message` as msgpack. Pure."""
    return _encoder.encode(message)


def decode(data: bytes | memoryview, kind: type[T]) -> T:
    """Return the message in `data`. Pure.

    Raises:
        MessageMalformed: Not a message of this kind, or nested deeper than any is.
    """
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageMalformed(str(error)) from error


# Accounts and devices (JSON) -----------------------------------------------------------------


class SessionRequest(msgspec.Struct, frozen=True):
    """POST /v1/sessions: log in a device."""

    email: str
    password: str
    device_name: str


class SessionAnswer(msgspec.Struct, frozen=True):
    """The token is shown once; the server keeps its hash."""

    token: str
    device_id: int
    account_id: int


class DriveInfo(msgspec.Struct, frozen=True):
    """A drive as one account sees it. `chunk_key` is base64 in JSON, 32 bytes."""

    drive_id: str
    name: str
    root_node: int
    epoch: str
    chunk_key: bytes
    chunker: ChunkerParameters


class AccountAnswer(msgspec.Struct, frozen=True):
    """GET /v1/account: who am I, and which drives may I see (the home drive first)."""

    account_id: int
    email: str
    device_id: int
    device_name: str
    drives: list[DriveInfo]
    server_time_ms: int


class DeviceInfo(msgspec.Struct, frozen=True):
    """One row of GET /v1/devices. Times are Unix milliseconds."""

    device_id: int
    name: str
    created_at_ms: int
    last_seen_at_ms: int
    is_current: bool


# The tree as states --------------------------------------------------------------------------


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


# Uploads and blocks --------------------------------------------------------------------------


class ChunkLength(msgspec.Struct, frozen=True, array_like=True):
    chunk_id: bytes
    length: int


class UploadRequest(msgspec.Struct, frozen=True):
    """POST uploads (msgpack): announce a pending revision. Idempotent by `upload_id`.

    `growth_bytes` is what the quota reserves: the charged size to be, less that of the base. May
    come before or after the blocks, and again with further chunks (the reservation is replaced).

    `new_bytes_max` lets so many bytes of blocks come from now on whose chunks no announcement
    named: a client that cuts while it sends does not know them yet. At most the quota's limit.
    """

    upload_id: bytes
    node_id: int
    base_revision: int
    growth_bytes: int
    chunks: list[ChunkLength]
    new_bytes_max: int = 0


class UploadAnswer(msgspec.Struct, frozen=True):
    """`missing`: indices into the request's chunks. The others are present, and pinned."""

    missing: list[int]
    lease_s: float


class BlockHeader(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Heads one frame of blocks, both ways. `base` names the chunk that a delta was made against.

    In an answer to a fetch, `error` says why the payload is empty.
    """

    chunk_id: bytes
    base: bytes = b""
    error: str = ""


class BlocksAnswer(msgspec.Struct, frozen=True):
    """POST blocks: how many blocks are now durable (those already there count)."""

    stored_count: int
    stored_bytes: int


class WantedChunk(msgspec.Struct, frozen=True, array_like=True):
    """`have`: a chunk that the caller holds and accepts a delta against, or empty."""

    chunk_id: bytes
    have: bytes = b""


class FetchGroup(msgspec.Struct, frozen=True, array_like=True):
    """Chunks of one revision: what the caller's right to them is checked by."""

    node_id: int
    revision: int
    chunks: list[WantedChunk]


class FetchRequest(msgspec.Struct, frozen=True):
    """POST blocks/fetch (msgpack); the answer is frames in the order asked."""

    groups: list[FetchGroup]


class LostBlock(msgspec.Struct, frozen=True, array_like=True):
    """A chunk whose block the server lost, and one revision that names it."""

    node_id: int
    revision: int
    chunk_id: bytes
    length: int


class LostBlocksPage(msgspec.Struct, frozen=True):
    """GET blocks/lost (msgpack): what a device that still has it may send, under any upload.

    `after` continues behind this page; empty: there is no more.
    """

    blocks: list[LostBlock]
    after: str = ""


class ManifestWanted(msgspec.Struct, frozen=True, array_like=True):
    node_id: int
    revision: int
    manifest_id: bytes
    have: bytes = b""


class ManifestsRequest(msgspec.Struct, frozen=True):
    """POST manifests/fetch (msgpack)."""

    wanted: list[ManifestWanted]


class ManifestAnswer(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Either the packed entries, or a splice of the manifest that the caller said it has."""

    manifest_id: bytes
    entries: bytes = b""
    splice: Splice | None = None
    error: str = ""


class ManifestsAnswer(msgspec.Struct, frozen=True):
    manifests: list[ManifestAnswer]


# Commits -------------------------------------------------------------------------------------


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
