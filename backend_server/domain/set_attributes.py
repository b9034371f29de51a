"""Whether a node gets new attributes. Pure."""

from msgspec.structs import replace

from backend_server.domain.tree import Tree
from backend_server.domain.verdicts import STALE, Change, EntryKind, Verdict, refused
from backend_server.protocol.commit_messages import SetAttributes
from backend_server.protocol.errors import ErrorCode


def decide_set_attributes(tree: Tree, operation: SetAttributes, *, sequence: int) -> Verdict:
    """Return the node with its new attributes, version `sequence`, or why not. Pure."""
    node = tree.nodes.get(operation.node_id)
    if node is None:
        return refused(ErrorCode.NOT_FOUND)
    if not node.is_live or node.attributes_version != operation.base_version:
        return STALE
    changed = replace(
        node,
        sequence=sequence,
        mode=operation.mode,
        uid=operation.uid,
        gid=operation.gid,
        mtime_ns=operation.mtime_ns if operation.is_mtime_set else node.mtime_ns,
        ctime_ns=max(node.ctime_ns, operation.ctime_ns),
        attributes_version=sequence,
        xattrs=node.xattrs if operation.xattrs is None else operation.xattrs,
    )
    if operation.conflict_of is not None:
        changed = replace(
            changed,
            conflict_of=operation.conflict_of,
            conflict_device=operation.conflict_device,
            conflict_at_ns=operation.conflict_at_ns,
        )
    return Change(
        kind=EntryKind.ATTRIBUTES_SET, sequence=sequence, node_id=node.node_id, nodes=(changed,)
    )
