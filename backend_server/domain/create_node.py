"""Whether a node may be made. Pure."""

from backend_server.domain.tree import Tree
from backend_server.domain.verdicts import (
    STALE,
    Change,
    Content,
    EntryKind,
    NodeRecord,
    Rejection,
    Verdict,
    refused,
)
from backend_server.protocol.commit_messages import CreateNode
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import NO_NODE
from backend_server.protocol.tree_messages import DentryState, NodeKind


def decide_create_node(
    tree: Tree,
    operation: CreateNode,
    content: Content | Rejection | None,
    *,
    sequence: int,
    now_ms: int,
) -> Verdict:
    """Return the node and its first dentry, both of `sequence`, or why not. Pure.

    An id that the drive has ever seen is refused, that of a tombstone too. A dentry that is there
    already makes the operation stale. With content, `sequence` is the first revision.
    """
    parent = tree.nodes.get(operation.parent)
    if parent is None or not parent.is_live:
        return refused(ErrorCode.PARENT_GONE)
    if parent.kind is not NodeKind.FOLDER:
        return refused(ErrorCode.NOT_A_FOLDER)
    if operation.node_id in tree.nodes:
        return refused(ErrorCode.NODE_ID_TAKEN)
    if tree.target_of(operation.parent, operation.name) != NO_NODE:
        return STALE
    if isinstance(content, Rejection):
        return content
    node = NodeRecord(
        node_id=operation.node_id,
        sequence=sequence,
        kind=operation.kind,
        mode=operation.mode,
        uid=operation.uid,
        gid=operation.gid,
        mtime_ns=operation.mtime_ns,
        ctime_ns=operation.ctime_ns,
        attributes_version=sequence,
        size_bytes=0 if content is None else content.size_bytes,
        revision=0 if content is None else sequence,
        manifest_id=b"" if content is None else content.manifest_id,
        entries=b"" if content is None else content.embedded,
        target=operation.target,
        rdev=operation.rdev,
        charged_bytes=0 if content is None else content.charged_bytes,
        created_at_ms=now_ms,
        xattrs=operation.xattrs,
        conflict_of=operation.conflict_of,
        conflict_device=operation.conflict_device,
        conflict_at_ns=operation.conflict_at_ns,
    )
    return Change(
        kind=EntryKind.CREATED,
        sequence=sequence,
        node_id=operation.node_id,
        nodes=(node,),
        dentries=(DentryState(operation.parent, operation.name, operation.node_id, sequence),),
        content=content,
    )
