"""The mirror: the server's tree as of a cursor. Written by the follower only."""

import sqlite3
from collections.abc import Iterator
from typing import Final, Protocol

from backend_server.protocol.tree_messages import DentryState, NodeKind, NodeState
from mountfs.state.database import Database
from mountfs.state.records import NodeRecord, record_of

_REMEMBERED_MAX: Final = 8192

Key = tuple[int, bytes]

NODE_COLUMNS: Final = (
    "node_id, kind, mode, uid, gid, mtime_ns, ctime_ns, attributes_version, size_bytes, "
    "revision, manifest_id, entries, target, rdev, xattrs, "
    "conflict_of, conflict_device, conflict_at_ns"
)

_MARKS = ",".join("?" * len(NodeRecord._fields))

_BROKEN_LAWS: Final = (
    (
        "the root is no folder",
        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM node WHERE node_id = 1 AND kind = 2)",
    ),
    ("the root has a name", "SELECT 1 FROM dentry WHERE node_id = 1"),
    (
        "a name in what is no folder",
        "SELECT 1 FROM dentry LEFT JOIN node AS parent ON parent.node_id = dentry.parent "
        "WHERE parent.kind IS NOT 2 LIMIT 1",
    ),
    (
        "a name leads to nothing",
        "SELECT 1 FROM dentry LEFT JOIN node USING (node_id) WHERE kind IS NULL LIMIT 1",
    ),
    (
        "a folder has two names",
        "SELECT 1 FROM dentry WHERE is_folder GROUP BY node_id HAVING count(*) > 1 LIMIT 1",
    ),
    (
        "a folder is inside itself",
        "WITH RECURSIVE reached (id) AS (SELECT 1 UNION SELECT node_id FROM dentry JOIN reached "
        "ON parent = id WHERE is_folder) SELECT 1 FROM (SELECT count(*) AS found FROM reached) "
        "WHERE found <= (SELECT count(*) FROM dentry WHERE is_folder)",
    ),
)
"""What each law's breach is called, and the rows that show one. See core/tree_laws."""

_COUNT_SUBFOLDERS: Final = "SELECT count(*) FROM dentry WHERE parent = ? AND is_folder"
_COUNT_SHOWN_SUBFOLDERS: Final = (
    "SELECT (SELECT count(*) FROM next_dentry WHERE parent = ?1 AND is_folder) + "
    "(SELECT count(*) FROM dentry INDEXED BY subfolder WHERE parent = ?1 AND is_folder AND "
    "NOT EXISTS (SELECT 1 FROM next_dentry AS n WHERE n.parent = ?1 AND n.name = dentry.name))"
)


class Mirror:
    """Remembers what it was asked for lately, also that there is nothing: a file system asks for
    the same folder and the same free name several times in a row. `apply` forgets what it
    touches; nothing else writes the mirror.

    While it `is_layered`, what everybody reads is the mirror with the next one over it
    (state/next_mirror).
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._nodes: dict[int, NodeRecord | None] = {}
        self._children: dict[tuple[int, bytes], int] = {}
        self.edits_count = 0
        """Grows with every change of a dentry."""
        self.is_layered = False
        self._load_layered()

    def node(self, node_id: int) -> NodeRecord | None:
        if node_id in self._nodes:
            return self._nodes[node_id]
        row = self._database.execute(
            f"SELECT {NODE_COLUMNS} FROM {self._node} WHERE node_id = ?", (node_id,)
        ).fetchone()
        if len(self._nodes) >= _REMEMBERED_MAX:
            self._nodes.clear()
        record = self._nodes[node_id] = None if row is None else NodeRecord._make(row)
        return record

    def child(self, parent: int, name: bytes) -> int:
        """Return the node that (parent, name) leads to; 0 for nothing."""
        key = (parent, name)
        found = self._children.get(key)
        if found is not None:
            return found
        row = self._database.execute(
            f"SELECT node_id FROM {self._dentry} WHERE parent = ? AND name = ?", key
        ).fetchone()
        if len(self._children) >= _REMEMBERED_MAX:
            self._children.clear()
        child = self._children[key] = 0 if row is None else int(row[0])
        return child

    def children(self, parent: int, after: bytes = b"", limit: int = -1) -> list[tuple[bytes, int]]:
        """Return (name, node) behind the name `after`, by name, at most `limit` of them."""
        return self._database.execute(
            f"SELECT name, node_id FROM {self._dentry} WHERE parent = ? AND name > ? "
            "ORDER BY name LIMIT ?",
            (parent, after, limit),
        ).fetchall()

    def places(self, node_id: int) -> list[tuple[int, bytes]]:
        """Return every (parent, name) that leads to the node."""
        return self._database.execute(
            f"SELECT parent, name FROM {self._dentry} WHERE node_id = ?", (node_id,)
        ).fetchall()

    def names_count(self, node_id: int) -> int:
        """Return how many dentries lead to the node."""
        return int(
            self._database.execute(
                f"SELECT count(*) FROM {self._dentry} WHERE node_id = ?", (node_id,)
            ).fetchone()[0]
        )

    def subfolders_count(self, parent: int) -> int:
        statement = _COUNT_SHOWN_SUBFOLDERS if self.is_layered else _COUNT_SUBFOLDERS
        return int(self._database.execute(statement, (parent,)).fetchone()[0])

    def entries_from(self, parent: int, name: bytes, limit: int) -> list[tuple[bytes, NodeRecord]]:
        """Return up to `limit` folders, and files with content, by name, from `name` on."""
        if self.is_layered:
            return self._shown_entries_from(parent, name, limit)
        columns = ", ".join(f"node.{column.strip()}" for column in NODE_COLUMNS.split(","))
        rows = self._database.execute(
            f"SELECT dentry.name, {columns} FROM dentry JOIN node USING (node_id) "
            "WHERE parent = ? AND name >= ? AND (kind = ? AND size_bytes > 0 OR kind = ?) "
            "ORDER BY name LIMIT ?",
            (parent, name, int(NodeKind.FILE), int(NodeKind.FOLDER), limit),
        )
        return [(found, NodeRecord._make(columns_of)) for found, *columns_of in rows.fetchall()]

    def _shown_entries_from(
        self, parent: int, name: bytes, limit: int
    ) -> list[tuple[bytes, NodeRecord]]:
        """As `entries_from`: a join with the view would read all of it."""
        found: list[tuple[bytes, NodeRecord]] = []
        for entry, node_id in self._database.execute(
            "SELECT name, node_id FROM shown_dentry WHERE parent = ? AND name >= ? ORDER BY name",
            (parent, name),
        ):
            record = self.node(node_id)
            if record is not None and (record.is_folder or (record.is_file and record.size_bytes)):
                found.append((entry, record))
            if len(found) == limit:
                break
        return found

    def apply(self, nodes: list[NodeState], dentries: list[DentryState]) -> None:
        """Put the states of a feed into the mirror. Idempotent. Joins the caller's transaction.

        Within `nodes` or `dentries` a later state of the same row wins.
        """
        assert not self.is_layered
        self.edits_count += 1
        for state in nodes:
            self._nodes.pop(state.node_id, None)
        for dentry in dentries:
            self._children.pop((dentry.parent, dentry.name), None)
        execute_many = self._database.execute_many
        execute_many(
            "DELETE FROM node WHERE node_id = ?",
            [(state.node_id,) for state in nodes if state.kind is NodeKind.REMOVED],
        )
        execute_many(
            "DELETE FROM dentry WHERE parent = ? AND name = ?",
            [(state.parent, state.name) for state in dentries if not state.node_id],
        )
        execute_many(
            f"INSERT OR REPLACE INTO node ({NODE_COLUMNS}) VALUES ({_MARKS})",
            [tuple(record_of(state)) for state in nodes if state.kind is not NodeKind.REMOVED],
        )
        execute_many(
            "INSERT OR REPLACE INTO dentry (parent, name, node_id, is_folder) "
            "VALUES (?1,?2,?3, coalesce((SELECT kind = 2 FROM node WHERE node_id = ?3), 0))",
            [(state.parent, state.name, state.node_id) for state in dentries if state.node_id],
        )

    def complete(self) -> str | None:
        """Finish what was filled page by page: return which law the tree breaks, None if none.

        Joins the caller's transaction. Rows of one page could name nodes of a later one.
        """
        self.edits_count += 1
        self._database.execute(
            "UPDATE dentry SET is_folder = 1 WHERE NOT is_folder AND node_id IN "
            "(SELECT node_id FROM node WHERE kind = 2)"
        )
        for broken, statement in _BROKEN_LAWS:
            if self._database.execute(statement).fetchone() is not None:
                return broken
        return None

    def forget_remembered(self) -> None:
        """The rows may have changed behind what was remembered of them."""
        self.edits_count += 1
        self._nodes.clear()
        self._children.clear()
        self._load_layered()

    def show_layer(self) -> None:
        """From now on the next mirror is over this one. Joins the caller's transaction."""
        self._database.execute("INSERT INTO meta (key, value) VALUES ('shown_mirror', 'next')")
        self.forget_remembered()

    def end_layer(self) -> None:
        """The next mirror has nothing any more that this one lacks."""
        self._database.execute("DELETE FROM meta WHERE key = 'shown_mirror'")
        self._load_layered()  # what is remembered is as true as before

    def _load_layered(self) -> None:
        self.is_layered = is_layered(self._database)
        self._node, self._dentry = tables_shown(is_layered=self.is_layered)

    def unlayered_node(self, node_id: int) -> NodeRecord | None:
        """Return the node as it was before the next mirror was shown over this one."""
        row = self._database.execute(
            f"SELECT {NODE_COLUMNS} FROM node WHERE node_id = ?", (node_id,)
        ).fetchone()
        return None if row is None else NodeRecord._make(row)

    def layer_brings_content(self, node_id: int) -> bool:
        """Whether the next mirror, shown over this one, has another content for the node."""
        if not self.is_layered:
            return False
        row = self._database.execute(
            "SELECT next_node.manifest_id IS NOT node.manifest_id FROM next_node "
            "LEFT JOIN node USING (node_id) WHERE node_id = ?",
            (node_id,),
        ).fetchone()
        return row is not None and bool(row[0])

    def unlayered_child(self, parent: int, name: bytes) -> int:
        """Return what (parent, name) led to before the next mirror was shown over this one."""
        row = self._database.execute(
            "SELECT node_id FROM dentry WHERE parent = ? AND name = ?", (parent, name)
        ).fetchone()
        return 0 if row is None else int(row[0])

    def conflict_copies(self, limit: int) -> list[int]:
        """Return up to `limit` nodes that are marked as conflict copies."""
        rows = self._database.execute(
            f"SELECT node_id FROM {self._node} WHERE conflict_of LIMIT ?", (limit,)
        ).fetchall()
        return [node_id for (node_id,) in rows]

    def is_empty(self) -> bool:
        return self._database.execute(f"SELECT 1 FROM {self._node} LIMIT 1").fetchone() is None

    def clear(self) -> None:
        """Forget everything. Joins the caller's transaction."""
        assert not self.is_layered
        self.forget_remembered()
        self._database.execute("DELETE FROM node")
        self._database.execute("DELETE FROM dentry")

    def all_nodes(self) -> Iterator[NodeRecord]:
        rows = self._database.execute(f"SELECT {NODE_COLUMNS} FROM {self._node} ORDER BY node_id")
        return map(NodeRecord._make, rows)


def tables_shown(*, is_layered: bool) -> tuple[str, str]:
    """Return the tables in which what is shown has its nodes, and its dentries. Pure."""
    return ("shown_node", "shown_dentry") if is_layered else ("node", "dentry")


def is_layered(database: "Executes") -> bool:
    """Whether the next mirror is shown over the mirror."""
    row = database.execute("SELECT 1 FROM meta WHERE key = 'shown_mirror'").fetchone()
    return row is not None


class Executes(Protocol):
    """A connection to the state, or our door to it."""

    def execute(self, statement: str, /) -> sqlite3.Cursor: ...
