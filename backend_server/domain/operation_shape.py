"""Whether an operation makes sense by itself, before any state is looked at. Pure."""

from typing import Final, assert_never

from backend_server.domain.verdicts import MALFORMED, Rejection, refused
from backend_server.protocol.commit_messages import (
    CreateNode,
    NewContent,
    Operation,
    PlaceNodes,
    SetAttributes,
    SetContent,
)
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.extended_attributes import (
    ExtendedAttributesMalformed,
    unpack_xattrs,
)
from backend_server.protocol.identity import (
    DIGEST_BYTES,
    NODE_ID_MAX,
    NODE_ID_RESERVED_MAX,
    UPLOAD_ID_BYTES,
    is_valid_name,
)
from backend_server.protocol.limits import (
    BLOCK_SIZE_BYTES_MAX,
    CHANGES_PAGE_ROWS_MAX,
    DEVICE_NAME_LENGTH_MAX,
    FILE_SIZE_BYTES_MAX,
    SYMLINK_TARGET_BYTES_MAX,
)
from backend_server.protocol.tree_messages import NodeKind

PLACE_CHANGES_MAX: Final = 1000
# What one operation changes must fit in one page of the feed: each change of a dentry may touch
# the dentry, two nodes and the parent.
assert 4 * PLACE_CHANGES_MAX <= CHANGES_PAGE_ROWS_MAX

INLINE_BLOCKS_MAX: Final = 32
"""Of one operation. Content that small is one chunk; an edit of a larger file is a few deltas."""

_MODE_MAX: Final = 0o7777
_OWNER_MAX: Final = (1 << 32) - 1
_INT64_MAX: Final = (1 << 63) - 1
_DEVICE_KINDS: Final = (NodeKind.CHARACTER_DEVICE, NodeKind.BLOCK_DEVICE)

NAME_INVALID: Final = refused(ErrorCode.NAME_INVALID)


def find_fault(operation: Operation) -> Rejection | None:
    """Return why `operation` can never be made, or None. Pure.

    What passes has numbers that a database can hold, valid names, and fields that fit its kind.
    """
    match operation:
        case CreateNode():
            return _fault_of_create(operation)
        case PlaceNodes():
            return _fault_of_place(operation)
        case SetContent():
            if not (
                _is_node_id(operation.node_id)
                and 0 <= operation.base_revision <= _INT64_MAX
                and _are_times(operation.mtime_ns, operation.ctime_ns)
                and _is_content(operation.content)
                and 0 <= operation.merged_from <= _INT64_MAX
            ):
                return MALFORMED
            return None
        case SetAttributes():
            if not (
                _is_node_id(operation.node_id)
                and 0 <= operation.base_version <= _INT64_MAX
                and _are_attributes(operation)
            ):
                return MALFORMED
            return None
        case _:
            assert_never(operation)


def _fault_of_create(operation: CreateNode) -> Rejection | None:
    kind = operation.kind
    if not (
        NODE_ID_RESERVED_MAX < operation.node_id <= NODE_ID_MAX
        and _is_node_id(operation.parent)
        and _are_attributes(operation)
        and kind is not NodeKind.REMOVED
        and (
            operation.content is None or (kind is NodeKind.FILE and _is_content(operation.content))
        )
        and (operation.rdev == 0 or kind in _DEVICE_KINDS)
        and 0 <= operation.rdev <= _INT64_MAX
    ):
        return MALFORMED
    target_bytes = len(operation.target)
    if kind is NodeKind.SYMLINK:
        if not 0 < target_bytes <= SYMLINK_TARGET_BYTES_MAX or b"\0" in operation.target:
            return MALFORMED
    elif target_bytes:
        return MALFORMED
    return None if is_valid_name(operation.name) else NAME_INVALID


def _fault_of_place(operation: PlaceNodes) -> Rejection | None:
    changes = operation.changes
    if not (0 < len(changes) <= PLACE_CHANGES_MAX and abs(operation.ctime_ns) <= _INT64_MAX):
        return MALFORMED
    for change in changes:
        if not (
            _is_node_id(change.parent)
            and 0 <= change.expected <= NODE_ID_MAX
            and 0 <= change.node_id <= NODE_ID_MAX
            and abs(change.ctime_ns) <= _INT64_MAX
        ):
            return MALFORMED
        if not is_valid_name(change.name):
            return NAME_INVALID
    if len({(change.parent, change.name) for change in changes}) != len(changes):
        return MALFORMED
    return None


def _is_content(content: NewContent) -> bool:
    return (
        len(content.manifest_id) in (0, DIGEST_BYTES)
        and len(content.upload_id) in (0, UPLOAD_ID_BYTES)
        and 0 <= content.size_bytes <= FILE_SIZE_BYTES_MAX
        and len(content.inline) <= INLINE_BLOCKS_MAX
        and not (content.entries and content.splice is not None)
        and all(
            len(inline.chunk_id) == DIGEST_BYTES
            and len(inline.base) in (0, DIGEST_BYTES)
            and len(inline.block) <= BLOCK_SIZE_BYTES_MAX
            for inline in content.inline
        )
    )


def _are_attributes(operation: CreateNode | SetAttributes) -> bool:
    return (
        0 <= operation.mode <= _MODE_MAX
        and 0 <= operation.uid <= _OWNER_MAX
        and 0 <= operation.gid <= _OWNER_MAX
        and _are_times(operation.mtime_ns, operation.ctime_ns)
        and _are_xattrs(operation.xattrs or b"")
        and 0 <= (operation.conflict_of or 0) <= NODE_ID_MAX
        and _is_device_name(operation.conflict_device)
        and abs(operation.conflict_at_ns) <= _INT64_MAX
    )


def _are_xattrs(packed: bytes) -> bool:
    try:
        unpack_xattrs(packed)
    except ExtendedAttributesMalformed:
        return False
    return True


def _is_device_name(name: str) -> bool:
    return not name or (len(name) <= DEVICE_NAME_LENGTH_MAX and name.isprintable())


def _are_times(mtime_ns: int, ctime_ns: int) -> bool:
    return -_INT64_MAX <= mtime_ns <= _INT64_MAX and -_INT64_MAX <= ctime_ns <= _INT64_MAX


def _is_node_id(node_id: int) -> bool:
    return 0 < node_id <= NODE_ID_MAX
