"""Whether dentries may change, all at once, judged by the outcome. Pure."""

from collections.abc import Collection, Iterable
from typing import Final

from msgspec.structs import replace

from backend_server.domain.tree import Tree
from backend_server.domain.verdicts import (
    STALE,
    Change,
    EntryKind,
    NodeRecord,
    Rejection,
    Verdict,
    refused,
)
from backend_server.protocol.commit_messages import PlaceNodes
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import NO_NODE, ROOT_NODE
from backend_server.protocol.limits import LINKS_MAX
from backend_server.protocol.tree_messages import DentryState, NodeKind

WALKED_MAX: Final = 1_000_000
"""Folders above folders that one commit may look at, each operation's counted anew: so much keeps
the writer for half a second. A thousand operations on folders a thousand deep are within it."""

Key = tuple[int, bytes]
Links = dict[int, set[Key]]


def decide_place_nodes(tree: Tree, operation: PlaceNodes, *, sequence: int) -> Verdict:
    """Return dentries and nodes as the operation leaves them, or why not. Pure.

    The tree must have loaded the links of every node that the changes name, the child counts of
    its folders, and the links of the ancestors of every parent that a folder goes to.
    """
    rejection = _find_mismatch(tree, operation)
    if rejection is not None:
        return rejection
    outcome = _links_after(tree, operation)
    if _removes_unseen_head(tree, operation, outcome):
        return STALE
    rejection = _find_broken_law(tree, operation, outcome)
    if rejection is not None:
        return rejection
    dentries = tuple(
        DentryState(change.parent, change.name, change.node_id, sequence)
        for change in operation.changes
        if change.expected != change.node_id
    )
    return Change(
        kind=EntryKind.PLACED,
        sequence=sequence,
        node_id=next(iter(outcome), operation.changes[0].parent),
        nodes=tuple(_nodes_after(tree, operation, outcome, sequence)),
        dentries=dentries,
    )


def _find_mismatch(tree: Tree, operation: PlaceNodes) -> Rejection | None:
    """Compare what the operation expects with what is."""
    for change in operation.changes:
        if change.node_id != NO_NODE:
            parent = tree.nodes.get(change.parent)
            if parent is None or not parent.is_live:
                return refused(ErrorCode.PARENT_GONE)
            if parent.kind is not NodeKind.FOLDER:
                return refused(ErrorCode.NOT_A_FOLDER)
            node = tree.nodes.get(change.node_id)
            if node is None:
                return refused(ErrorCode.NOT_FOUND)
            if not node.is_live:
                return STALE
        if tree.target_of(change.parent, change.name) != change.expected:
            return STALE
    return None


def _removes_unseen_head(tree: Tree, operation: PlaceNodes, outcome: Links) -> bool:
    """Whether a file would go whose newest content the caller has not seen."""
    seen = {head.node_id: head.revision for head in operation.heads}
    return any(
        not links and node_id in seen and tree.nodes[node_id].revision != seen[node_id]
        for node_id, links in outcome.items()
    )


def _links_after(tree: Tree, operation: PlaceNodes) -> Links:
    """Return the live dentries of every node that gains or loses one, as they will be."""
    outcome: Links = {}
    for change in operation.changes:
        if change.expected == change.node_id:
            continue
        key = (change.parent, change.name)
        for node_id in (change.expected, change.node_id):
            if node_id == NO_NODE:
                continue
            links = outcome.get(node_id)
            if links is None:
                links = outcome[node_id] = set(tree.links[node_id])
            if node_id == change.expected:
                links.remove(key)
            else:
                links.add(key)
    return outcome


def _find_broken_law(tree: Tree, operation: PlaceNodes, outcome: Links) -> Rejection | None:
    """Hold the outcome against the laws of folders."""
    gained_children: dict[int, int] = {}
    for change in operation.changes:
        gained = (change.node_id != NO_NODE) - (change.expected != NO_NODE)
        gained_children[change.parent] = gained_children.get(change.parent, 0) + gained
    for node_id, links in outcome.items():
        if len(links) > max(LINKS_MAX, len(tree.links[node_id])):
            return refused(ErrorCode.TOO_MANY_LINKS)
        if tree.nodes[node_id].kind is not NodeKind.FOLDER:
            continue
        if node_id == ROOT_NODE or len(links) > 1:
            return refused(ErrorCode.FOLDER_LINK)
        if not links and tree.child_counts[node_id] + gained_children.get(node_id, 0) > 0:
            return refused(ErrorCode.FOLDER_NOT_EMPTY)
    sound = {int(ROOT_NODE)}
    for node_id, links in outcome.items():
        is_placed_folder = links and tree.nodes[node_id].kind is NodeKind.FOLDER
        if is_placed_folder and _is_inside_itself(tree, node_id, outcome, sound):
            return refused(ErrorCode.FOLDER_CYCLE)
    tree.walked_count += len(sound)
    if tree.walked_count > WALKED_MAX:
        return refused(ErrorCode.TOO_LARGE)
    return None


def _is_inside_itself(tree: Tree, folder_id: int, outcome: Links, sound: set[int]) -> bool:
    """Walk from the folder to the root, or to where another was found `sound`: not a cycle."""
    walked: set[int] = set()
    at = folder_id
    while at not in sound:
        if at in walked:
            return True
        walked.add(at)
        links: Collection[Key] = outcome[at] if at in outcome else tree.links.get(at, ())
        if not links:
            break
        ((at, _name),) = links
    sound |= walked
    return False


def _nodes_after(
    tree: Tree, operation: PlaceNodes, outcome: Links, sequence: int
) -> Iterable[NodeRecord]:
    """Yield the nodes that change: removed ones, and moved ones (ctime).

    Times travel from the committer: the folders around get theirs by `SetAttributes`, which knows
    whether a program set them since.
    """
    placed_at_ns: dict[int, int] = {}
    for change in operation.changes:
        if change.ctime_ns:
            placed_at_ns[change.node_id] = max(
                change.ctime_ns, placed_at_ns.get(change.node_id, change.ctime_ns)
            )
    for node_id, links in outcome.items():
        node = tree.nodes[node_id]
        ctime_ns = placed_at_ns.get(node_id, operation.ctime_ns)
        if not links:
            yield _buried(node, sequence)
        elif ctime_ns > node.ctime_ns:
            yield replace(node, sequence=sequence, ctime_ns=ctime_ns)


def _buried(node: NodeRecord, sequence: int) -> NodeRecord:
    """Return the tombstone of `node`. Its revisions stay, and nothing is charged any more."""
    return replace(
        node,
        sequence=sequence,
        kind=NodeKind.REMOVED,
        size_bytes=0,
        manifest_id=b"",
        entries=b"",
        target=b"",
        charged_bytes=0,
        xattrs=b"",
    )
