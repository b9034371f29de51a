"""What a commit is about: which rows must be loaded to decide it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from backend_server.protocol.commit_messages import CreateNode, Operation, PlaceNodes
from backend_server.protocol.identity import NO_NODE
from backend_server.protocol.tree_messages import NodeKind


@dataclass(slots=True)
class Footprint:
    """Ids and keys that operations name.

    node_ids: every node named. dentries: every (parent, name) named. linked: nodes that gain or
    lose a dentry. placed: node to the parents it is to be placed in; if the node is a folder,
    their ancestors matter. created_folders: folders that the operations themselves make, to
    their parents.
    """

    node_ids: set[int] = field(default_factory=set)
    dentries: set[tuple[int, bytes]] = field(default_factory=set)
    linked: set[int] = field(default_factory=set)
    placed: dict[int, set[int]] = field(default_factory=dict)
    created_folders: dict[int, int] = field(default_factory=dict)


def footprint_of(operations: Iterable[Operation]) -> Footprint:
    """Return what well-formed `operations` are about. Pure."""
    footprint = Footprint()
    for operation in operations:
        match operation:
            case CreateNode():
                footprint.node_ids.add(operation.node_id)
                footprint.node_ids.add(operation.parent)
                footprint.dentries.add((operation.parent, operation.name))
                if operation.kind is NodeKind.FOLDER:
                    footprint.created_folders[operation.node_id] = operation.parent
            case PlaceNodes():
                for change in operation.changes:
                    footprint.node_ids.add(change.parent)
                    footprint.dentries.add((change.parent, change.name))
                    if change.node_id != NO_NODE:
                        footprint.placed.setdefault(change.node_id, set()).add(change.parent)
                    for node_id in (change.expected, change.node_id):
                        if node_id != NO_NODE:
                            footprint.node_ids.add(node_id)
                            footprint.linked.add(node_id)
            case _:
                footprint.node_ids.add(operation.node_id)
    return footprint
