"""A drive as plainly as it can be said: whole copies, and every law checked over everything.

The oracle of the tree's property tests. It shares no code with `backend_server.domain`.
"""

from copy import deepcopy
from dataclasses import dataclass, field, replace

from backend_server.protocol.commit_messages import (
    CreateNode,
    Operation,
    Outcome,
    PlaceNodes,
    SetAttributes,
    SetContent,
)
from backend_server.protocol.tree_messages import ChangesPage, NodeKind

ROOT = 1


@dataclass(frozen=True)
class ModelNode:
    kind: NodeKind
    revision: int = 0
    size_bytes: int = 0
    attributes_version: int = 0


@dataclass
class Model:
    """Live nodes and dentries; `seen` has every id ever; sizes stand for charged bytes."""

    limit_bytes: int
    head: int = 1
    seen: set[int] = field(default_factory=lambda: {ROOT})
    nodes: dict[int, ModelNode] = field(
        default_factory=lambda: {ROOT: ModelNode(NodeKind.FOLDER, attributes_version=1)}
    )
    dentries: dict[tuple[int, bytes], int] = field(default_factory=dict)

    @property
    def used_bytes(self) -> int:
        return sum(node.size_bytes for node in self.nodes.values())

    def commit(self, unit: list[Operation]) -> list[tuple[Outcome, int]]:
        """Make a group or a single operation; return (outcome, sequence) of each."""
        before = deepcopy(self.__dict__)
        answers: list[tuple[Outcome, int]] = []
        for index, operation in enumerate(unit):
            outcome = self._make(operation)
            if outcome is not Outcome.APPLIED:
                self.__dict__.update(before)
                return [(outcome if at == index else Outcome.SKIPPED, 0) for at in range(len(unit))]
            answers.append((outcome, self.head))
        used_before = sum(node.size_bytes for node in before["nodes"].values())
        if self.used_bytes > used_before and self.used_bytes > self.limit_bytes:
            self.__dict__.update(before)
            return [(Outcome.REFUSED, 0)] * len(unit)
        return answers

    def _make(self, operation: Operation) -> Outcome:
        match operation:
            case CreateNode():
                outcome = self._create(operation)
            case PlaceNodes():
                outcome = self._place(operation)
            case SetContent():
                node = self.nodes.get(operation.node_id)
                if node is None:
                    gone = operation.node_id in self.seen
                    return Outcome.STALE if gone else Outcome.REFUSED
                if node.kind is not NodeKind.FILE:
                    return Outcome.REFUSED
                if node.revision != operation.base_revision:
                    return Outcome.STALE
                self.nodes[operation.node_id] = replace(
                    node, revision=self.head + 1, size_bytes=operation.content.size_bytes
                )
                outcome = Outcome.APPLIED
            case SetAttributes():
                node = self.nodes.get(operation.node_id)
                if node is None and operation.node_id not in self.seen:
                    return Outcome.REFUSED
                if node is None or node.attributes_version != operation.base_version:
                    return Outcome.STALE
                self.nodes[operation.node_id] = replace(node, attributes_version=self.head + 1)
                outcome = Outcome.APPLIED
        self.head += outcome is Outcome.APPLIED
        return outcome

    def _create(self, operation: CreateNode) -> Outcome:
        parent = self.nodes.get(operation.parent)
        if parent is None or parent.kind is not NodeKind.FOLDER or operation.node_id in self.seen:
            return Outcome.REFUSED
        if (operation.parent, operation.name) in self.dentries:
            return Outcome.STALE
        content = operation.content
        self.nodes[operation.node_id] = ModelNode(
            operation.kind,
            revision=0 if content is None else self.head + 1,
            size_bytes=0 if content is None else content.size_bytes,
            attributes_version=self.head + 1,
        )
        self.seen.add(operation.node_id)
        self.dentries[operation.parent, operation.name] = operation.node_id
        return Outcome.APPLIED

    def _place(self, operation: PlaceNodes) -> Outcome:
        for change in operation.changes:
            if change.node_id:
                parent = self.nodes.get(change.parent)
                if parent is None or parent.kind is not NodeKind.FOLDER:
                    return Outcome.REFUSED
                if change.node_id not in self.nodes:
                    seen = change.node_id in self.seen
                    return Outcome.STALE if seen else Outcome.REFUSED
            if self.dentries.get((change.parent, change.name), 0) != change.expected:
                return Outcome.STALE
        after = dict(self.dentries)
        for change in operation.changes:
            after.pop((change.parent, change.name), None)
            if change.node_id:
                after[change.parent, change.name] = change.node_id
        placed = set(after.values()) | {ROOT}
        dropped = set(self.nodes) - placed
        if not laws_hold(
            {node_id: node for node_id, node in self.nodes.items() if node_id not in dropped}, after
        ):
            return Outcome.REFUSED
        self.dentries = after
        for node_id in dropped:
            del self.nodes[node_id]
        return Outcome.APPLIED


def laws_hold(nodes: dict[int, ModelNode], dentries: dict[tuple[int, bytes], int]) -> bool:
    """Whether it is a tree: parents are live folders, folders have one dentry, all hang on ROOT."""
    links: dict[int, list[int]] = {node_id: [] for node_id in nodes}
    for (parent, _name), node_id in dentries.items():
        if parent not in nodes or nodes[parent].kind is not NodeKind.FOLDER or node_id not in nodes:
            return False
        links[node_id].append(parent)
    if links[ROOT]:
        return False
    for node_id, parents in links.items():
        if node_id != ROOT and not parents:
            return False
        if nodes[node_id].kind is NodeKind.FOLDER and node_id != ROOT and len(parents) != 1:
            return False
        seen = {node_id}
        while parents:
            at = parents[0]
            if at in seen:
                return False
            seen.add(at)
            parents = links[at]
        if ROOT not in seen:
            return False
    return True


@dataclass
class Mirror:
    """What a device makes of pages: the fold of states, tombstones removing."""

    nodes: dict[int, ModelNode] = field(default_factory=dict)
    dentries: dict[tuple[int, bytes], int] = field(default_factory=dict)
    cursor: str = ""
    used_bytes: int = 0

    def apply(self, pages: list[ChangesPage]) -> None:
        for page in pages:
            for node in page.nodes:
                if node.kind is NodeKind.REMOVED:
                    self.nodes.pop(node.node_id, None)
                else:
                    self.nodes[node.node_id] = ModelNode(
                        node.kind, node.revision, node.size_bytes, node.attributes_version
                    )
            for dentry in page.dentries:
                key = (dentry.parent, dentry.name)
                self.dentries.pop(key, None)
                if dentry.node_id:
                    self.dentries[key] = dentry.node_id
            self.cursor = page.cursor
            self.used_bytes = page.quota.used_bytes

    def copy(self) -> "Mirror":
        return Mirror(dict(self.nodes), dict(self.dentries), self.cursor, self.used_bytes)
