"""Dentries and nodes changed here, in memory and in rows, changed together.

A dentry's row exists exactly while it differs from the mirror or is in flight: setting a dentry
back to what the server has removes the row, so that a file made and deleted between two commits
leaves nothing to send.
"""

from collections import defaultdict
from collections.abc import Mapping

from mountfs.clock import Clock
from mountfs.state.counter import ChangeCounter
from mountfs.state.database import Database
from mountfs.state.recent_changes import RecentChanges
from mountfs.state.records import LocalDentry, LocalNode

Key = tuple[int, bytes]

_MARKS = ",".join("?" * len(LocalNode._fields))

_KIND_TABLES = ("local_node", "next_node", "node")
_IS_FOLDER = " OR ".join(
    f"EXISTS (SELECT 1 FROM {table} AS n WHERE n.node_id = local_dentry.node_id AND n.kind = 2)"
    for table in _KIND_TABLES
)


class LocalChanges:
    """One thread: the event loop's."""

    def __init__(
        self, database: Database, counter: ChangeCounter, clock: Clock, recent: RecentChanges
    ) -> None:
        self._database = database
        self._recent = recent
        self._counter = counter
        self._clock = clock
        self.dentries: dict[Key, LocalDentry] = {}
        self.nodes: dict[int, LocalNode] = {}
        self.edits_count = 0
        """Grows with every change of a dentry."""
        self.in_flight_dentries: set[Key] = set()
        self.in_flight_nodes: set[int] = set()
        self._names_by_parent: defaultdict[int, dict[bytes, int]] = defaultdict(dict)
        self._keys_by_node: defaultdict[int, set[Key]] = defaultdict(set)
        self._moved_at_ns: dict[int, int] = {}
        self._replacing: dict[Key, LocalDentry] = {}
        self._keys_by_expected: defaultdict[int, set[Key]] = defaultdict(set)
        self._named_folders: set[int] = set()
        self.load()

    def load(self) -> None:
        """Take the rows as they are; what memory had is forgotten."""
        for held in (
            self.dentries, self.nodes, self._names_by_parent, self._keys_by_node,
            self._moved_at_ns, self._replacing, self._named_folders, self._keys_by_expected,
        ):  # fmt: skip
            held.clear()
        self.edits_count += 1
        for row in self._database.execute(
            f"SELECT parent, name, node_id, expected, touched, at_ns, {_IS_FOLDER} "
            "FROM local_dentry ORDER BY touched"
        ).fetchall():
            self._remember(LocalDentry._make((*row[:6], 0.0, bool(row[6]))))
        for row in self._database.execute("SELECT * FROM local_node").fetchall():
            node = LocalNode._make(row)
            self.nodes[node.node_id] = node._replace(is_created=bool(node.is_created))
        for row in self.dentries.values():
            folder = self.nodes.get(row.parent)
            if folder is not None and row.at_ns and row.touched > folder.touched:
                self.nodes[row.parent] = folder._replace(
                    mtime_ns=row.at_ns, ctime_ns=row.at_ns, touched=row.touched
                )

    def names_in(self, parent: int) -> Mapping[bytes, int]:
        """Return name to node (0: to nothing) of the dentries changed in a folder."""
        return self._names_by_parent.get(parent) or {}

    def places(self, node_id: int) -> set[Key]:
        """Return the changed dentries that lead to the node."""
        return self._keys_by_node.get(node_id) or set()

    def former_places(self, node_id: int) -> set[Key]:
        """Return the changed dentries that led to the node on the server."""
        return self._keys_by_expected.get(node_id) or set()

    def replacing(self) -> list[LocalDentry]:
        """Return the dentries that lead to a node, and led to another on the server."""
        return list(self._replacing.values())

    def moved_folders(self) -> list[int]:
        """Return the folders that the server knows, and that have a name from here."""
        nodes = self.nodes
        return [
            node_id
            for node_id in self._named_folders
            if node_id not in nodes or not nodes[node_id].is_created
        ]

    def moved_at_ns(self, node_id: int) -> int:
        """Return when a program last gave the node a name that the server lacks; 0 for never."""
        return self._moved_at_ns.get(node_id, 0)

    def set_dentry(
        self, parent: int, name: bytes, node_id: int, *, expected: int, at_ns: int, is_folder: bool
    ) -> None:
        """(parent, name) now leads to `node_id`, 0: to nothing.

        Args:
            expected: What the mirror has there. Used if the dentry was not changed before.
            at_ns: When a program did this, Unix time; 0 if none did.
            is_folder: Whether the node is one.
        """
        key = (parent, name)
        row = self.dentries.get(key)
        if row is not None:
            expected = row.expected
        if node_id == expected and key not in self.in_flight_dentries:
            self.drop_dentry(key)
            return
        self.put_dentry(
            LocalDentry(
                parent,
                name,
                node_id,
                expected,
                self._counter.next(),
                at_ns,
                self._clock.monotonic_s(),
                is_folder,
            )
        )

    def put_dentry(self, row: LocalDentry) -> None:
        """Store the row as it is."""
        self._database.execute(
            "INSERT OR REPLACE INTO local_dentry (parent, name, node_id, expected, touched, at_ns) "
            "VALUES (?,?,?,?,?,?)",
            row[:6],
        )
        self._recent.key(row.key)
        self._remember(row)

    def drop_dentry(self, key: Key) -> None:
        """The mirror is right again about this dentry."""
        if key in self.dentries:
            self._database.execute("DELETE FROM local_dentry WHERE parent = ? AND name = ?", key)
            self._forget(key)

    def put_node(self, node: LocalNode) -> None:
        """Store a made or changed node as it is."""
        self._database.execute(f"INSERT OR REPLACE INTO local_node VALUES ({_MARKS})", tuple(node))
        self._recent.node(node.node_id)
        self.nodes[node.node_id] = node

    def drop_node(self, node_id: int) -> None:
        """The mirror is right again about this node, or nobody knows it any more."""
        if self.nodes.pop(node_id, None) is not None:
            self._database.execute("DELETE FROM local_node WHERE node_id = ?", (node_id,))

    def next_touch(self) -> int:
        return self._counter.next()

    def _remember(self, row: LocalDentry) -> None:
        self._forget(row.key)
        self.dentries[row.key] = row
        self._names_by_parent[row.parent][row.name] = row.node_id
        if row.expected:
            self._keys_by_expected[row.expected].add(row.key)
        if row.node_id:
            self._keys_by_node[row.node_id].add(row.key)
            if row.is_folder:
                self._named_folders.add(row.node_id)
            if row.expected:
                self._replacing[row.key] = row
            if row.at_ns > self._moved_at_ns.get(row.node_id, 0):
                self._moved_at_ns[row.node_id] = row.at_ns

    def _forget(self, key: Key) -> None:
        self.edits_count += 1
        row = self.dentries.pop(key, None)
        if row is None:
            return
        if row.expected:
            self._replacing.pop(key, None)
            former = self._keys_by_expected[row.expected]
            former.discard(key)
            if not former:
                del self._keys_by_expected[row.expected]
        names = self._names_by_parent[row.parent]
        del names[row.name]
        if not names:
            del self._names_by_parent[row.parent]
        if row.node_id:
            keys = self._keys_by_node[row.node_id]
            keys.discard(key)
            if not keys:
                del self._keys_by_node[row.node_id]
                self._moved_at_ns.pop(row.node_id, None)
                self._named_folders.discard(row.node_id)
