"""The mirror: the server's tree as of a cursor. Written by the follower only."""

from collections.abc import Iterator

from backend_server.protocol.messages import DentryState, NodeKind, NodeState
from mountfs.state.database import Database
from mountfs.state.records import NodeRecord, record_of

_COLUMNS = (
    "node_id, kind, mode, uid, gid, mtime_ns, ctime_ns, attributes_version, size_bytes, "
    "revision, manifest_id, entries, target, rdev"
)


class Mirror:
    def __init__(self, database: Database) -> None:
        self._database = database

    def node(self, node_id: int) -> NodeRecord | None:
        row = self._database.execute(
            f"SELECT {_COLUMNS} FROM node WHERE node_id = ?", (node_id,)
        ).fetchone()
        return None if row is None else NodeRecord._make(row)

    def child(self, parent: int, name: bytes) -> int:
        """Return the node that (parent, name) leads to; 0 for nothing."""
        row = self._database.execute(
            "SELECT node_id FROM dentry WHERE parent = ? AND name = ?", (parent, name)
        ).fetchone()
        return 0 if row is None else int(row[0])

    def children(self, parent: int, after: bytes = b"", limit: int = -1) -> list[tuple[bytes, int]]:
        """Return (name, node) behind the name `after`, by name, at most `limit` of them."""
        return self._database.execute(
            "SELECT name, node_id FROM dentry WHERE parent = ? AND name > ? ORDER BY name LIMIT ?",
            (parent, after, limit),
        ).fetchall()

    def places(self, node_id: int) -> list[tuple[int, bytes]]:
        """Return every (parent, name) that leads to the node."""
        return self._database.execute(
            "SELECT parent, name FROM dentry WHERE node_id = ?", (node_id,)
        ).fetchall()

    def files_from(
        self, parent: int, name: bytes, limit: int
    ) -> Iterator[tuple[bytes, NodeRecord]]:
        """Yield up to `limit` files with content of a folder, by name, from `name` on."""
        columns = ", ".join(f"node.{column.strip()}" for column in _COLUMNS.split(","))
        rows = self._database.execute(
            f"SELECT dentry.name, {columns} FROM dentry JOIN node USING (node_id) "
            "WHERE parent = ? AND name >= ? AND kind = ? AND size_bytes > 0 ORDER BY name LIMIT ?",
            (parent, name, int(NodeKind.FILE), limit),
        )
        for found, *columns_of in rows.fetchall():
            yield found, NodeRecord._make(columns_of)

    def apply(self, nodes: list[NodeState], dentries: list[DentryState]) -> None:
        """Put the states of a feed into the mirror. Idempotent. Joins the caller's transaction.

        Within `nodes` or `dentries` a later state of the same row wins.
        """
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
            f"INSERT OR REPLACE INTO node ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            [tuple(record_of(state)) for state in nodes if state.kind is not NodeKind.REMOVED],
        )
        execute_many(
            "INSERT OR REPLACE INTO dentry (parent, name, node_id) VALUES (?,?,?)",
            [(state.parent, state.name, state.node_id) for state in dentries if state.node_id],
        )

    def is_empty(self) -> bool:
        return self._database.execute("SELECT 1 FROM node LIMIT 1").fetchone() is None

    def clear(self) -> None:
        """Forget everything. Joins the caller's transaction."""
        self._database.execute("DELETE FROM node")
        self._database.execute("DELETE FROM dentry")

    def all_nodes(self) -> Iterator[NodeRecord]:
        rows = self._database.execute(f"SELECT {_COLUMNS} FROM node ORDER BY node_id")
        return map(NodeRecord._make, rows)
