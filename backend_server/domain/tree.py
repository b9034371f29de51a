"""The working set of a commit: those nodes and dentries that it is about, changed in memory.

Loaded set-wise for all operations of a commit (`footprint.py` says what they are about), then
changed operation by operation, then stored set-wise: whatever has a sequence beyond
`base_sequence` was changed. A group that fails is taken back to its mark.

The tree answers only about what was loaded: a node that is asked for and is not in `nodes` was
never seen by the drive.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from backend_server.domain.verdicts import Change, NodeRecord
from backend_server.protocol.identity import NO_NODE
from backend_server.protocol.tree_messages import DentryState


class DentryKey(NamedTuple):
    parent: int
    name: bytes


@dataclass(slots=True)
class Quota:
    """The drive's quota in bytes, as it would be now."""

    limit: int
    used: int
    reserved: int

    @property
    def is_exceeded(self) -> bool:
        return self.used + self.reserved > self.limit


class Mark(NamedTuple):
    """Where a tree may be taken back to."""

    sequence: int
    used: int
    reserved: int


_ABSENT: Final = object()


@dataclass(slots=True)
class Tree:
    """See above. `links` has every live dentry of the nodes in it (the keys of a dict: a set whose
    changes can be undone one by one); `child_counts` likewise."""

    sequence: int
    quota: Quota
    nodes: dict[int, NodeRecord] = field(default_factory=dict)
    dentries: dict[tuple[int, bytes], DentryState] = field(default_factory=dict)
    links: dict[int, dict[tuple[int, bytes], None]] = field(default_factory=dict)
    child_counts: dict[int, int] = field(default_factory=dict)
    reservations: dict[bytes, int] = field(default_factory=dict)
    walked_count: int = 0
    """Folders looked at on the way from a placed folder to the root."""
    base_sequence: int = field(init=False)
    _undo: list[tuple[dict[Any, Any], Any, Any]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.base_sequence = self.sequence

    def target_of(self, parent: int, name: bytes) -> int:
        """Return the node that (parent, name) leads to, or NO_NODE."""
        dentry = self.dentries.get((parent, name))
        return NO_NODE if dentry is None else dentry.node_id

    def apply(self, change: Change) -> int:
        """Make `change`; return by how many bytes it grew what is used."""
        used_before = self.quota.used
        for node in change.nodes:
            old = self.nodes.get(node.node_id)
            self.quota.used += node.charged_bytes - (0 if old is None else old.charged_bytes)
            self._set(self.nodes, node.node_id, node)
            if old is None:
                self._set(self.links, node.node_id, {})
                self._set(self.child_counts, node.node_id, 0)
        for dentry in change.dentries:
            self._place(dentry)
        if change.content is not None:
            reserved = self.reservations.get(change.content.upload_id)
            if reserved is not None:
                self.quota.reserved -= reserved
                self._set(self.reservations, change.content.upload_id, 0)
        self.sequence = change.sequence
        return self.quota.used - used_before

    def mark(self) -> Mark:
        """Return a mark to take the tree back to; earlier marks are void."""
        self._undo.clear()
        return Mark(self.sequence, self.quota.used, self.quota.reserved)

    def take_back(self, mark: Mark) -> None:
        """Undo every change since `mark`, the last one made."""
        for table, key, old in reversed(self._undo):
            if old is _ABSENT:
                del table[key]
            else:
                table[key] = old
        self._undo.clear()
        self.sequence = mark.sequence
        self.quota.used = mark.used
        self.quota.reserved = mark.reserved

    def changed_nodes(self) -> Iterable[NodeRecord]:
        """Yield the nodes to store."""
        return (node for node in self.nodes.values() if node.sequence > self.base_sequence)

    def changed_dentries(self) -> Iterable[DentryState]:
        """Yield the dentries to store; `node_id` 0 is a tombstone."""
        return (entry for entry in self.dentries.values() if entry.sequence > self.base_sequence)

    def _place(self, dentry: DentryState) -> None:
        key = (dentry.parent, dentry.name)
        old = self.target_of(*key)
        if old != NO_NODE and old in self.links:
            self._drop(self.links[old], key)
        if dentry.node_id != NO_NODE and dentry.node_id in self.links:
            self._set(self.links[dentry.node_id], key, None)
        count = self.child_counts.get(dentry.parent)
        if count is not None:
            gained = (dentry.node_id != NO_NODE) - (old != NO_NODE)
            self._set(self.child_counts, dentry.parent, count + gained)
        self._set(self.dentries, key, dentry)

    def _set(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        self._undo.append((table, key, table.get(key, _ABSENT)))
        table[key] = value

    def _drop(self, table: dict[Any, Any], key: Any) -> None:
        self._undo.append((table, key, table.pop(key)))
