"""What a tree must be, held against the states that are about to be put into the mirror.

A server that errs or lies may send rows that are each one by itself and together no tree: a folder
inside itself, a name that leads nowhere. Such rows never reach the mirror: what walks it (rebase,
rename, paths) relies on these laws, and so do the programs that walk the mount.

    every name leads from a folder to a node      a folder has one name, and is not inside itself
    the root is a folder, and has no name         a node stays what it is: no file becomes a folder
    what was removed has no name, and holds none

The mirror kept the laws before, so only what is touched is looked at, and what is above it.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from backend_server.protocol.identity import ROOT_NODE
from backend_server.protocol.tree_messages import DentryState, NodeKind, NodeState

Key = tuple[int, bytes]


class KindOfNode(Protocol):
    @property
    def kind(self) -> int: ...


class TreeBefore(Protocol):
    """The tree as it is now."""

    def node(self, node_id: int) -> KindOfNode | None: ...

    def places(self, node_id: int) -> list[Key]:
        """Return every (parent, name) that leads to the node."""
        ...

    def children(self, parent: int) -> list[tuple[bytes, int]]: ...


class _NoTree:
    def node(self, node_id: int) -> None:
        return None

    def places(self, node_id: int) -> list[Key]:
        return []

    def children(self, parent: int) -> list[tuple[bytes, int]]:
        return []


NO_TREE: Final[TreeBefore] = _NoTree()
"""For states that are a whole tree by themselves."""


def find_broken_law(
    before: TreeBefore, nodes: Mapping[int, NodeState], dentries: Mapping[Key, DentryState]
) -> str | None:
    """Return which law the tree would break with these states in it, None if none. Pure."""
    return _Outcome(before, nodes, dentries).find_broken_law()


class _Outcome:
    def __init__(
        self,
        before: TreeBefore,
        nodes: Mapping[int, NodeState],
        dentries: Mapping[Key, DentryState],
    ) -> None:
        self._before = before
        self._nodes = nodes
        self._dentries = dentries
        self._placed: dict[int, list[Key]] = {}
        for key, dentry in dentries.items():
            if dentry.node_id:
                self._placed.setdefault(dentry.node_id, []).append(key)
        self._sound: set[int] = {ROOT_NODE}
        """Folders above which nothing is wrong."""

    def find_broken_law(self) -> str | None:
        for node_id, state in self._nodes.items():
            broken = self._broken_by_node(node_id, state)
            if broken is not None:
                return broken
        for key, dentry in self._dentries.items():
            if dentry.node_id:
                broken = self._broken_by_name(key, dentry.node_id)
                if broken is not None:
                    return broken
        return None

    def _broken_by_node(self, node_id: int, state: NodeState) -> str | None:
        old = self._before.node(node_id)
        if state.kind is not NodeKind.REMOVED:
            if old is not None and old.kind != state.kind:
                return "a node became one of another kind"
            if node_id == ROOT_NODE and state.kind is not NodeKind.FOLDER:
                return "the root is no folder"
            return None
        if node_id == ROOT_NODE:
            return "the root was removed"
        if self._places(node_id):
            return "a name leads to what was removed"
        if old is not None and old.kind == NodeKind.FOLDER:
            for name, _ in self._before.children(node_id):
                if (node_id, name) not in self._dentries:
                    return "a folder was removed with what is in it"
        return None

    def _broken_by_name(self, key: Key, node_id: int) -> str | None:
        if self._kind(key[0]) != NodeKind.FOLDER:
            return "a name in what is no folder"
        kind = self._kind(node_id)
        if kind == NodeKind.REMOVED:
            return "a name leads to nothing"
        if node_id == ROOT_NODE:
            return "the root has a name"
        if kind != NodeKind.FOLDER:
            return None
        if len(self._places(node_id)) > 1:
            return "a folder has two names"
        return "a folder is inside itself" if self._is_inside_itself(node_id) else None

    def _is_inside_itself(self, folder_id: int) -> bool:
        walked: set[int] = set()
        at = folder_id
        while at not in self._sound:
            if at in walked:
                return True
            walked.add(at)
            places: Sequence[Key] = self._places(at)
            if not places:
                break
            at = places[0][0]
        self._sound |= walked
        return False

    def _kind(self, node_id: int) -> int:
        state = self._nodes.get(node_id)
        if state is not None:
            return state.kind
        old = self._before.node(node_id)
        return NodeKind.REMOVED if old is None else old.kind

    def _places(self, node_id: int) -> list[Key]:
        kept = [key for key in self._before.places(node_id) if key not in self._dentries]
        return kept + self._placed.get(node_id, [])
