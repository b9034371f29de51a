"""What of the next mirror meets a change made here, found slice by slice while programs go on.

100,000 rows that were brought and 50,000 changes made here, held against each other row by row in
the transaction that shows the rows, made programs wait for a second. The rows that were brought
rest until then, so most of it can be found before: what was changed here in all the time up to
now, in slices, and in the transaction what was changed since the last of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from mountfs.state.database import Database
from mountfs.state.mirror import Key
from mountfs.state.recent_changes import RecentChanges
from mountfs.state.slices import Slices


@dataclass(slots=True)
class Met:
    """What was brought that may meet a change made here: at least the names and nodes that were
    changed, and the nodes that lie under such a name."""

    dentries: dict[Key, int] = field(default_factory=dict)
    """The node that each name leads to now, 0 for none."""
    present: dict[int, int] = field(default_factory=dict)
    """The revision that each node has now."""
    removed: set[int] = field(default_factory=set)
    edited: set[int] = field(default_factory=set)
    """Those of `present` that the mirror has with another revision."""


_SLICE_OF_NAMES: Final = "(parent, name) > (?1, ?2) AND (parent, name) <= (?3, ?4)"
_ONE_NAME: Final = "(parent, name) = (?1, ?2)"
_SLICE_OF_NODES: Final = "node_id > ?1 AND node_id <= ?2"
_ONE_NODE: Final = "node_id = ?1"

# In each, {rows} says which local rows. CROSS JOIN: they are few, and each is looked up.
_DENTRIES: Final = (
    "SELECT l.parent, l.name, n.node_id "
    "FROM (SELECT parent, name FROM local_dentry WHERE {rows}) AS l "
    "CROSS JOIN next_dentry AS n ON n.parent = l.parent AND n.name = l.name"
)
_NODES_OF_DENTRIES: Final = (
    "SELECT n.node_id, n.kind, n.revision, node.revision FROM next_node AS n "
    "LEFT JOIN node ON node.node_id = n.node_id WHERE n.node_id IN "
    "(SELECT parent FROM local_dentry WHERE {rows} "
    "UNION SELECT node_id FROM local_dentry WHERE {rows} "
    "UNION SELECT expected FROM local_dentry WHERE {rows} "
    # A file that others edited keeps a name which was given to another one here.
    "UNION SELECT d.node_id FROM (SELECT parent, name FROM local_dentry WHERE {rows}) AS l "
    "CROSS JOIN next_dentry AS d ON d.parent = l.parent AND d.name = l.name "
    "UNION SELECT d.node_id FROM (SELECT parent, name FROM local_dentry WHERE {rows}) AS l "
    "CROSS JOIN dentry AS d ON d.parent = l.parent AND d.name = l.name)"
)
_NODES: Final = (
    "SELECT n.node_id, n.kind, n.revision, node.revision "
    "FROM (SELECT node_id FROM {table} WHERE {rows}) AS l "
    "CROSS JOIN next_node AS n ON n.node_id = l.node_id "
    "LEFT JOIN node ON node.node_id = n.node_id"
)

# Of a snapshot only what differs from the mirror was kept. All of it was brought, though: where
# a change made here began from something else than the mirror has, it is met too.
_UNLIKE_DENTRIES: Final = (
    "SELECT l.parent, l.name, coalesce(d.node_id, 0) "
    "FROM (SELECT parent, name, expected FROM local_dentry WHERE {rows}) AS l "
    "LEFT JOIN dentry AS d ON d.parent = l.parent AND d.name = l.name "
    "WHERE coalesce(d.node_id, 0) != l.expected AND NOT EXISTS "
    "(SELECT 1 FROM next_dentry AS n WHERE n.parent = l.parent AND n.name = l.name)"
)
_UNLIKE_NODES: Final = (
    "SELECT node.node_id, node.kind, node.revision, node.revision "
    "FROM (SELECT * FROM {table} WHERE {rows}) AS l "
    "CROSS JOIN node ON node.node_id = l.node_id "
    "WHERE {unlike} AND NOT EXISTS (SELECT 1 FROM next_node AS n WHERE n.node_id = l.node_id)"
)
_TABLES: Final = {
    "local_node": "(l.is_created OR l.attributes_version != node.attributes_version)",
    "overlay": "l.expected_revision != node.revision",
}
"""Tables of nodes that were changed here, and when a row of them is unlike the mirror's."""


class Meeting:
    """Of one next mirror, which is gathered and not yet shown. `steps` and `finish` may be called
    again and again; each call looks at what was changed since the one before."""

    def __init__(
        self, database: Database, recent: RecentChanges, *, rows_at_once: int, is_snapshot: bool
    ) -> None:
        self._database = database
        self._recent = recent
        self._rows_at_once = rows_at_once
        self._slices = Slices(database, rows_at_once)
        self._is_snapshot = is_snapshot
        self._is_walked = False
        self._met = Met()

    def steps(self) -> Iterator[None]:
        """Find what is met, but for a slice that was changed last. All changes that are made from
        here to `finish` must be noted."""
        if not self._is_walked:
            yield from self._walk()
            self._is_walked = True
        while len(self._recent) > self._rows_at_once:
            self._look_at_recent()
            yield

    def finish(self) -> Met:
        """Return what is met by all changes up to now."""
        for _ in self.steps():
            pass
        self._look_at_recent()
        return self._met

    def _look_at_recent(self) -> None:
        keys, nodes = self._recent.take(self._rows_at_once)
        for key in keys:
            self._names(_ONE_NAME, key)
        for node_id in nodes:
            for table in _TABLES:
                self._nodes(table, _ONE_NODE, (node_id,))

    def _walk(self) -> Iterator[None]:
        for first, end in self._slices.of_names("local_dentry"):
            self._names(_SLICE_OF_NAMES, (*first, *end))
            yield
        for table in _TABLES:
            for bounds in self._slices.of_nodes(table):
                self._nodes(table, _SLICE_OF_NODES, bounds)
                yield

    def _names(self, rows: str, bounds: tuple[Any, ...]) -> None:
        statements = [_DENTRIES, *([_UNLIKE_DENTRIES] if self._is_snapshot else [])]
        for statement in statements:
            found = self._database.execute(statement.format(rows=rows), bounds).fetchall()
            self._met.dentries.update(((parent, name), node_id) for parent, name, node_id in found)
        self._take_nodes(self._database.execute(_NODES_OF_DENTRIES.format(rows=rows), bounds))

    def _nodes(self, table: str, rows: str, bounds: tuple[int, ...]) -> None:
        statements = [_NODES, *([_UNLIKE_NODES] if self._is_snapshot else [])]
        for statement in statements:
            statement = statement.format(table=table, rows=rows, unlike=_TABLES[table])
            self._take_nodes(self._database.execute(statement, bounds))

    def _take_nodes(self, found: Iterable[tuple[int, int, int, int | None]]) -> None:
        """Take rows of (node, kind, its revision, the mirror's revision of it)."""
        for node_id, kind, revision, before in found:
            if not kind:
                self._met.removed.add(node_id)
                continue
            self._met.present[node_id] = revision
            if before is not None and before != revision:
                self._met.edited.add(node_id)
