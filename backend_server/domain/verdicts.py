"""What becomes of one operation: a change, or a rejection. Inert values."""

from dataclasses import dataclass
from enum import IntEnum

import msgspec

from backend_server.protocol.commit_messages import Outcome
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import ChunkId, ManifestId
from backend_server.protocol.tree_messages import DentryState, NodeKind


class NodeRecord(msgspec.Struct, frozen=True):
    """A node as it is stored: the fields of `NodeState`, what it is charged, when it was made.

    The order of the fields is that of the table's columns.
    """

    node_id: int
    sequence: int
    kind: NodeKind
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    ctime_ns: int
    attributes_version: int
    size_bytes: int
    revision: int
    manifest_id: bytes
    entries: bytes
    target: bytes
    rdev: int
    charged_bytes: int
    created_at_ms: int
    xattrs: bytes = b""
    conflict_of: int = 0
    conflict_device: str = ""
    conflict_at_ns: int = 0

    @property
    def is_live(self) -> bool:
        return self.kind is not NodeKind.REMOVED


class EntryKind(IntEnum):
    """What a journal entry says happened."""

    CREATED = 1
    PLACED = 2
    CONTENT_SET = 3
    ATTRIBUTES_SET = 4


@dataclass(frozen=True, slots=True)
class Content:
    """Content that may become a revision. `embedded`: its packed entries when they are few."""

    manifest_id: ManifestId
    size_bytes: int
    charged_bytes: int
    embedded: bytes
    upload_id: bytes = b""


@dataclass(frozen=True, slots=True)
class Change:
    """Rows as one accepted operation leaves them, all of `sequence`.

    `merged_from`: the content is the head before it with an edit of this older revision; or 0.
    """

    kind: EntryKind
    sequence: int
    node_id: int
    nodes: tuple[NodeRecord, ...]
    dentries: tuple[DentryState, ...] = ()
    content: Content | None = None
    merged_from: int = 0


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an operation is not made."""

    outcome: Outcome
    code: ErrorCode | None = None
    missing: tuple[ChunkId, ...] = ()


Verdict = Change | Rejection

STALE = Rejection(Outcome.STALE)
MANIFEST_MISSING = Rejection(Outcome.MISSING)


def refused(code: ErrorCode) -> Rejection:
    """Return the refusal with `code`. Pure."""
    return Rejection(Outcome.REFUSED, code)


CHUNK_MISMATCH = refused(ErrorCode.CHUNK_MISMATCH)
MALFORMED = refused(ErrorCode.MALFORMED)
