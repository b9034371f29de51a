"""What is true of every mirror, and how a mirror differs from the server's tree. Pure.

    a dentry leads from a known folder to a known node, and says truly whether that is a folder
    a folder has one dentry, the root has none
    every node can be reached from the root

Rows are compared as plain tuples: their fields are those of `protocol.tree_messages.NodeState`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from mountfs.core.findings import Finding, FindingKind

ROOT: Final = 1

Key = tuple[int, bytes]


def find_unlawful(
    is_folder: Mapping[int, bool], dentries: Mapping[Key, tuple[int, bool]], *, place: str
) -> Iterator[Finding]:
    """Yield each broken law of a mirror that is not empty. Pure.

    Args:
        is_folder: Every node, and whether it is a folder.
        dentries: (parent, name) to the node, and whether the dentry calls it a folder.
        place: Of the mirror, for the findings.
    """

    def unlawful(sentence: str) -> Finding:
        return Finding(FindingKind.MIRROR_UNLAWFUL, place, sentence)

    if not is_folder.get(ROOT):
        yield unlawful("the mirror has no root folder")
    names: defaultdict[int, list[Key]] = defaultdict(list)
    for key, (node_id, says_folder) in dentries.items():
        parent, name = key
        if not is_folder.get(parent):
            yield unlawful(f"the name {shown(name)} lies in {parent}, which is no known folder")
        if node_id not in is_folder:
            yield unlawful(f"the name {shown(name)} in {parent} leads to {node_id}, which is not")
        elif says_folder != is_folder[node_id]:
            yield unlawful(f"the name {shown(name)} in {parent} is wrong about being a folder")
        names[node_id].append(key)
    for node_id, keys in names.items():
        if node_id == ROOT or (is_folder.get(node_id) and len(keys) > 1):
            yield unlawful(f"the folder {node_id} has the name {shown(keys[-1][1])} too many")
    children: defaultdict[int, list[int]] = defaultdict(list)
    for (parent, _), (node_id, _) in dentries.items():
        children[parent].append(node_id)
    reached = _reached_from(ROOT, children)
    for node_id in is_folder:
        if node_id in reached:
            continue
        why = "is inside itself" if _is_in_a_cycle(node_id, names) else "has no way from the root"
        yield unlawful(f"the node {node_id} {why}")


def find_differences(
    nodes: Mapping[int, tuple[object, ...]],
    dentries: Mapping[Key, int],
    *,
    true_nodes: Mapping[int, tuple[object, ...]],
    true_dentries: Mapping[Key, int],
    place: str,
) -> Iterator[Finding]:
    """Yield in which rows a mirror is not what the server says it is. Pure."""

    def wrong(sentence: str) -> Finding:
        return Finding(FindingKind.MIRROR_WRONG, place, sentence)

    for node_id in sorted(nodes.keys() | true_nodes.keys()):
        ours, theirs = nodes.get(node_id), true_nodes.get(node_id)
        if ours is None:
            yield wrong(f"the node {node_id} is missing")
        elif theirs is None:
            yield wrong(f"the node {node_id} is not on the server")
        elif ours != theirs:
            yield wrong(f"the node {node_id} is not as it is on the server")
    for key in sorted(dentries.keys() | true_dentries.keys()):
        if dentries.get(key) == true_dentries.get(key):
            continue
        parent, name = key
        fact = "is missing" if key not in dentries else "leads elsewhere on the server"
        if key not in true_dentries:
            fact = "is not on the server"
        yield wrong(f"the name {shown(name)} in {parent} {fact}")


def path_in(names: Mapping[int, Key], node_id: int) -> bytes:
    """Return a path of a node from the root; `?/…` where its names do not lead there. Pure.

    Args:
        names: Node to one (parent, name) that leads to it.
    """
    parts: list[bytes] = []
    seen: set[int] = set()
    while node_id != ROOT:
        key = names.get(node_id)
        if key is None or node_id in seen:
            return b"/".join([b"?", *reversed(parts)])
        seen.add(node_id)
        node_id = key[0]
        parts.append(key[1])
    return b"/".join(reversed(parts))


def shown(name: bytes) -> str:
    """Return a name, or a path, as a person can read it. Pure."""
    return name.decode(errors="backslashreplace")


def _reached_from(root: int, children: Mapping[int, list[int]]) -> set[int]:
    reached = {root}
    waiting = [root]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in reached:
                reached.add(child)
                waiting.append(child)
    return reached


def _is_in_a_cycle(node_id: int, names: Mapping[int, list[Key]]) -> bool:
    seen: set[int] = set()
    waiting = [node_id]
    while waiting:
        for parent, _ in names.get(waiting.pop(), ()):
            if parent == node_id:
                return True
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return False
