"""Which conflict copies the drive has, as far as this device knows: no network."""

from typing import Final, NamedTuple

from mountfs.core.conflict_mark import ConflictMark
from mountfs.state.records import NodeRecord
from mountfs.state.store import StateStore

FOUND_MAX: Final = 10_000


class ConflictCopy(NamedTuple):
    """A copy that nobody has settled. `original` is None when it was removed since."""

    copy: NodeRecord
    original: NodeRecord | None

    @property
    def mark(self) -> ConflictMark:
        return self.copy.mark


def find_conflict_copies(state: StateStore) -> list[ConflictCopy]:
    """Return the conflict copies that programs see, the oldest first; at most FOUND_MAX."""
    marked = set(state.mirror.conflict_copies(FOUND_MAX))
    marked |= {node.node_id for node in state.changes.nodes.values() if node.conflict_of}
    found = [copy for node_id in marked if (copy := conflict_copy_of(state, node_id)) is not None]
    return sorted(found, key=lambda copy: (copy.mark.at_ns, copy.copy.node_id))[:FOUND_MAX]


def conflict_copy_of(state: StateStore, node_id: int) -> ConflictCopy | None:
    """Return the node as a conflict copy; None if it is none, or has no name any more."""
    record = state.tree.node(node_id)
    if record is None or not record.mark or not state.tree.names_count(node_id):
        return None
    original = state.tree.node(record.conflict_of)
    if original is not None and not state.tree.names_count(original.node_id):
        original = None
    return ConflictCopy(record, original)
