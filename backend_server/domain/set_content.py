"""Whether a file gets a new head. Pure."""

from msgspec.structs import replace

from backend_server.domain.tree import Tree
from backend_server.domain.verdicts import (
    STALE,
    Change,
    Content,
    EntryKind,
    Rejection,
    Verdict,
    refused,
)
from backend_server.protocol.commit_messages import SetContent
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.tree_messages import NodeKind


def decide_set_content(
    tree: Tree, operation: SetContent, content: Content | Rejection, *, sequence: int
) -> Verdict:
    """Return the node with its new head, revision `sequence`, or why not. Pure.

    Stale when the head is not the revision that the content was made from, or the node was
    removed meanwhile: the device pulls, and decides what becomes of its bytes.
    """
    node = tree.nodes.get(operation.node_id)
    if node is None:
        return refused(ErrorCode.NOT_FOUND)
    if not node.is_live:
        return STALE
    if node.kind is not NodeKind.FILE:
        return refused(ErrorCode.MALFORMED)
    if node.revision != operation.base_revision:
        return STALE
    if isinstance(content, Rejection):
        return content
    head = replace(
        node,
        sequence=sequence,
        mtime_ns=operation.mtime_ns,
        ctime_ns=max(node.ctime_ns, operation.ctime_ns),
        size_bytes=content.size_bytes,
        revision=sequence,
        manifest_id=content.manifest_id,
        entries=content.embedded,
        charged_bytes=content.charged_bytes,
    )
    return Change(
        kind=EntryKind.CONTENT_SET,
        sequence=sequence,
        node_id=node.node_id,
        nodes=(head,),
        content=content,
        merged_from=operation.merged_from,
    )
