"""A small tree whose laws are found by looking at all of it: the quick check is held against it."""

from backend_server.protocol.tree_messages import NodeKind

ROOT = 1
Key = tuple[int, bytes]


class Node:
    def __init__(self, kind: NodeKind) -> None:
        self.kind = int(kind)


class Tree:
    """A tree as a mirror has it."""

    def __init__(self, nodes: dict[int, NodeKind], names: dict[Key, int]) -> None:
        self.nodes = nodes
        self.names = names

    def node(self, node_id: int) -> Node | None:
        kind = self.nodes.get(node_id)
        return None if kind is None else Node(kind)

    def places(self, node_id: int) -> list[Key]:
        return [key for key, target in self.names.items() if target == node_id]

    def children(self, parent: int) -> list[tuple[bytes, int]]:
        return [(name, node) for (folder, name), node in self.names.items() if folder == parent]

    def with_states(self, nodes: dict[int, NodeKind], names: dict[Key, int]) -> "Tree":
        after = Tree({**self.nodes, **nodes}, {**self.names, **names})
        after.nodes = {node: kind for node, kind in after.nodes.items() if kind}
        after.names = {key: node for key, node in after.names.items() if node}
        return after

    def is_lawful(self) -> bool:
        """Whether all laws hold, by looking at everything."""
        # What has no name is reached by nobody, and with it what is in it: no law is broken.
        tops = [ROOT, *(node for node in self.nodes if not self.places(node))]
        reached, waiting = set(tops), tops
        while waiting:
            for _, node in self.children(waiting.pop()):
                if node not in reached:
                    reached.add(node)
                    waiting.append(node)
        return (
            self.nodes.get(ROOT) is NodeKind.FOLDER
            and all(
                self.nodes.get(parent) is NodeKind.FOLDER and node in self.nodes and node != ROOT
                for (parent, _), node in self.names.items()
            )
            and all(
                len(self.places(node)) <= 1 and (node in reached or not self.places(node))
                for node, kind in self.nodes.items()
                if kind is NodeKind.FOLDER
            )
        )
