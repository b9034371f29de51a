"""The next mirror: what the server said and the mirror does not have yet, gathered on disk.

    gather ──► hold against the laws ──► [a snapshot: keep what differs] ──► show ──► move over

Too many rows for one transaction while programs wait: everything here works in slices of
ROWS_AT_ONCE rows, each a generator's step and a transaction of its own. Between two steps the
caller lets others run. That nobody sees a half of it is the work of one row: until `shown_mirror`
is written readers see the mirror, and from then on (the views `shown_node` and `shown_dentry`) the
mirror with these rows over it, however many of them were moved by then. One task writes: the one
that writes the mirror.

A crash before that row leaves rows that nobody reads and the next `clear` takes; a crash behind it,
rows with which the next `move` goes on.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from backend_server.protocol.tree_messages import DentryState, NodeKind, NodeState
from mountfs.errors import LocalStorageBroken, LocalStorageFull
from mountfs.state.database import Database
from mountfs.state.meeting import Meeting
from mountfs.state.mirror import NODE_COLUMNS, Key, Mirror
from mountfs.state.recent_changes import RecentChanges
from mountfs.state.records import NodeRecord, record_of
from mountfs.state.slices import SLICE_OF_NAMES, Slices
from mountfs.state.staging import FREE_BYTES_MIN as FREE_BYTES_OF_PROGRAMS

ROWS_AT_ONCE: Final = 250
"""Rows of a slice: mostly 2-5 ms. The step whose commit fills SQLite's log (16 MiB) also writes the
log's pages into the database: 54-88 ms were seen in `move`. A shorter log would make such steps
shorter and more frequent, those of programs' writes too."""

FREE_BYTES_MIN: Final = FREE_BYTES_OF_PROGRAMS + (32 << 20)
"""Left free by what is gathered, so that programs can go on writing. More than they must leave,
for a checkpoint lengthens the database by up to the 16 MiB of its log at once."""

_MARKS: Final = ",".join("?" * len(NodeRecord._fields))
_COLUMNS_OF_NODE: Final = ", ".join(f"node.{column}" for column in NodeRecord._fields)
_COLUMNS_OF_NEXT: Final = ", ".join(f"next_node.{column}" for column in NodeRecord._fields)
_AS_REMOVED: Final = NODE_COLUMNS.replace("kind,", "0,")

_BEFORE_ALL: Final[Key] = (-(1 << 63), b"")
_LEADS_TO_REMOVED: Final = "a name leads to what was removed"
_LEFT_BEHIND: Final = tuple(
    (
        "SELECT parent, name, EXISTS (SELECT 1 FROM next_dentry AS n WHERE "
        "n.parent = dentry.parent AND n.name = dentry.name) FROM dentry "
        f"WHERE {behind} ORDER BY parent, name LIMIT ?4",
        law,
    )
    for behind, law in (
        ("node_id = ?1 AND (parent, name) > (?2, ?3)", _LEADS_TO_REMOVED),
        ("parent = ?1 AND name > ?3", "a folder was removed with what is in it"),
    )
)
"""Names of a removed node, and in it, behind a key, and whether they were brought; which law is
broken if they were not."""


@dataclass(slots=True)
class Difference:
    """Rows of a slice: what the mirror has below, and what is shown over it."""

    nodes: list[tuple[int, NodeRecord | None, NodeRecord | None]] = field(default_factory=list)
    """The node, its record before, its record now; None for none."""
    dentries: list[tuple[Key, int, int]] = field(default_factory=list)
    """(parent, name), the node before, the node now; 0 for none."""


class NextMirror:
    """Written by the follower only, as the mirror."""

    def __init__(
        self, database: Database, mirror: Mirror, *, rows_at_once: int | None = None
    ) -> None:
        self._database = database
        self._mirror = mirror
        self._rows_at_once = rows_at_once or ROWS_AT_ONCE
        self._slices = Slices(database, self._rows_at_once)
        self.free_bytes_min = FREE_BYTES_MIN

    # Gathering -------------------------------------------------------------------------------

    def clear(self) -> Iterator[None]:
        """Let go of what an earlier try gathered. What is shown stays."""
        assert not self._mirror.is_layered
        for table in ("next_node", "next_dentry"):
            key = "node_id" if table == "next_node" else "parent, name"
            statement = f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} LIMIT ?)"
            while self._database.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None:
                self._database.execute(statement, (self._rows_at_once,))
                yield

    def add(self, nodes: Sequence[NodeState], dentries: Sequence[DentryState]) -> Iterator[None]:
        """Take the states of a page; a later one of the same row wins.

        Raises `LocalStorageFull`: nothing is gathered any more.
        """
        return self._all_or_nothing(self._add(nodes, dentries))

    def _add(self, nodes: Sequence[NodeState], dentries: Sequence[DentryState]) -> Iterator[None]:
        step = self._rows_at_once
        for at in range(0, len(nodes), step):
            self._look_for_room()
            with self._database.transaction():
                self._database.execute_many(
                    f"INSERT OR REPLACE INTO next_node ({NODE_COLUMNS}) VALUES ({_MARKS})",
                    [tuple(record_of(state)) for state in nodes[at : at + step]],
                )
            yield
        for at in range(0, len(dentries), step):
            self._look_for_room()
            with self._database.transaction():
                self._database.execute_many(
                    "INSERT OR REPLACE INTO next_dentry (parent, name, node_id) VALUES (?,?,?)",
                    [(d.parent, d.name, d.node_id) for d in dentries[at : at + step]],
                )
            yield

    def _look_for_room(self) -> None:
        try:
            disk = os.statvfs(self._database.path.parent)
        except OSError as error:
            raise LocalStorageBroken(
                f"the disk that holds mountfs' state failed: {error}"
            ) from error
        if disk.f_bavail * disk.f_frsize < self.free_bytes_min:
            raise LocalStorageFull("what the server tells does not fit on the disk")

    def _all_or_nothing(self, steps: Iterator[None]) -> Iterator[None]:
        """Take `steps`; what is too much leaves its pages to the rows of programs."""
        try:
            yield from steps
        except LocalStorageFull:
            yield from self.clear()
            raise

    # A snapshot ------------------------------------------------------------------------------

    def add_removals(self) -> Iterator[None]:
        """A snapshot has no tombstones: what the mirror has and it lacks is gone.

        Raises as `add`.
        """
        return self._all_or_nothing(self._add_removals())

    def _add_removals(self) -> Iterator[None]:
        for after, last in self._slices.of_nodes("node"):
            self._look_for_room()
            self._database.execute(
                f"INSERT INTO next_node ({NODE_COLUMNS}) SELECT {_AS_REMOVED} FROM node "
                "WHERE node_id > ? AND node_id <= ? AND NOT EXISTS "
                "(SELECT 1 FROM next_node AS n WHERE n.node_id = node.node_id)",
                (after, last),
            )
            yield
        for first, end in self._slices.of_names("dentry"):
            self._look_for_room()
            self._database.execute(
                f"INSERT INTO next_dentry (parent, name, node_id) SELECT parent, name, 0 "
                f"FROM dentry WHERE {SLICE_OF_NAMES} AND NOT EXISTS "
                "(SELECT 1 FROM next_dentry AS n WHERE n.parent = dentry.parent AND "
                "n.name = dentry.name)",
                (*first, *end),
            )
            yield

    def drop_equal(self) -> Iterator[None]:
        """Keep only what differs from the mirror."""
        for after, last in self._slices.of_nodes("next_node"):
            self._database.execute(
                "DELETE FROM next_node WHERE node_id > ? AND node_id <= ? AND "
                f"EXISTS (SELECT 1 FROM node WHERE node.node_id = next_node.node_id AND "
                f"({_COLUMNS_OF_NODE}) IS ({_COLUMNS_OF_NEXT}))",
                (after, last),
            )
            yield
        for first, end in self._slices.of_names("next_dentry"):
            self._database.execute(
                f"DELETE FROM next_dentry WHERE {SLICE_OF_NAMES} AND EXISTS (SELECT 1 FROM dentry "
                "WHERE dentry.parent = next_dentry.parent AND dentry.name = next_dentry.name AND "
                "(dentry.node_id, dentry.is_folder) = "
                "(next_dentry.node_id, next_dentry.is_folder))",
                (*first, *end),
            )
            yield

    # Laws ------------------------------------------------------------------------------------

    def broken_laws(self, *, is_mirror_sound: bool) -> Iterator[str | None]:
        """Yield, slice by slice, which law the tree would break with these rows over the mirror.

        None: none so far. The laws are those of core/tree_laws. Also notes which names lead to
        folders.

        Args:
            is_mirror_sound: Whether the mirror's word on what a node is counts.
        """
        for after, last in self._slices.of_nodes("next_node"):
            yield self._broken_by_nodes(after, last, is_mirror_sound=is_mirror_sound)
            yield from self._broken_by_removals(after, last)
        sound: set[int] = {1}
        for first, end in self._slices.of_names("next_dentry"):
            yield self._broken_by_names(first, end, sound)
        root = self._database.execute("SELECT kind FROM shown_node WHERE node_id = 1").fetchone()
        if root is None or root[0] != NodeKind.FOLDER:
            yield "the root is no folder"

    def _broken_by_nodes(self, after: int, last: int, *, is_mirror_sound: bool) -> str | None:
        execute = self._database.execute
        if (
            is_mirror_sound
            and execute(
                "SELECT 1 FROM next_node JOIN node USING (node_id) WHERE node_id > ? AND "
                "node_id <= ? AND next_node.kind AND next_node.kind != node.kind LIMIT 1",
                (after, last),
            ).fetchone()
        ):
            return "a node became one of another kind"
        if execute(
            "SELECT 1 FROM next_dentry WHERE node_id AND node_id IN (SELECT node_id FROM next_node "
            "WHERE node_id > ? AND node_id <= ? AND NOT kind) LIMIT 1",
            (after, last),
        ).fetchone():
            return _LEADS_TO_REMOVED
        return None

    def _broken_by_removals(self, after: int, last: int) -> Iterator[str | None]:
        """As `broken_laws`: whether what a slice of nodes removes has no name any more and nothing
        in it. In slices of its names, and of what was in it."""
        gone = self._database.execute(
            "SELECT node_id FROM next_node WHERE node_id > ? AND node_id <= ? AND NOT kind",
            (after, last),
        ).fetchall()
        looked_at = 0
        for (node_id,) in gone:
            for statement, law in _LEFT_BEHIND:
                key: Key | None = _BEFORE_ALL
                while key is not None:
                    rows = self._database.execute(
                        statement, (node_id, *key, self._rows_at_once - looked_at)
                    ).fetchall()
                    looked_at += len(rows)
                    if not all(is_brought for *_, is_brought in rows):
                        yield law
                        return
                    # Fewer than asked for: there are no more.
                    key = None
                    if looked_at == self._rows_at_once:
                        key, looked_at = rows[-1][:2], 0
                        yield None

    def _broken_by_names(self, first: Key, end: Key, sound: set[int]) -> str | None:
        rows = self._database.execute(
            "SELECT d.parent, d.name, d.node_id, coalesce(np.kind, bp.kind, 0), "
            "coalesce(nn.kind, bn.kind, 0) FROM next_dentry AS d "
            "LEFT JOIN next_node AS np ON np.node_id = d.parent "
            "LEFT JOIN node AS bp ON bp.node_id = d.parent "
            "LEFT JOIN next_node AS nn ON nn.node_id = d.node_id "
            "LEFT JOIN node AS bn ON bn.node_id = d.node_id "
            f"WHERE d.node_id AND {SLICE_OF_NAMES.replace('parent, name', 'd.parent, d.name')}",
            (*first, *end),
        ).fetchall()
        folders = []
        for parent, name, node_id, kind_above, kind in rows:
            if kind_above != NodeKind.FOLDER:
                return "a name in what is no folder"
            if not kind:
                return "a name leads to nothing"
            if node_id == 1:
                return "the root has a name"
            if kind == NodeKind.FOLDER:
                folders.append((parent, name))
                if len(self._places(node_id)) > 1:
                    return "a folder has two names"
                if self._is_inside_itself(node_id, sound):
                    return "a folder is inside itself"
        with self._database.transaction():
            self._database.execute_many(
                "UPDATE next_dentry SET is_folder = 1 WHERE parent = ? AND name = ?", folders
            )
        return None

    def _places(self, node_id: int) -> list[Key]:
        return self._database.execute(
            "SELECT parent, name FROM shown_dentry WHERE node_id = ?", (node_id,)
        ).fetchall()

    def _is_inside_itself(self, folder_id: int, sound: set[int]) -> bool:
        walked: set[int] = set()
        at = folder_id
        while at not in sound:
            if at in walked:
                return True
            walked.add(at)
            places = self._places(at)
            if not places:
                break
            at = places[0][0]
        sound |= walked
        return False

    def behind(self, sequence: int) -> Iterator[list[NodeRecord]]:
        """Yield, slice by slice, the mirror's nodes that were changed after `sequence`."""
        for after, last in self._slices.of_nodes("node"):
            rows = self._database.execute(
                f"SELECT {NODE_COLUMNS} FROM node WHERE node_id > ? AND node_id <= ? AND "
                "(revision > ? OR attributes_version > ?)",
                (after, last, sequence, sequence),
            ).fetchall()
            yield [NodeRecord._make(row) for row in rows]

    # Showing ---------------------------------------------------------------------------------

    def node(self, node_id: int) -> NodeRecord | None:
        """Return what was gathered of a node (kind 0: its removal); None for nothing."""
        row = self._database.execute(
            f"SELECT {NODE_COLUMNS} FROM next_node WHERE node_id = ?", (node_id,)
        ).fetchone()
        return None if row is None else NodeRecord._make(row)

    def meeting(self, recent: RecentChanges, *, is_snapshot: bool) -> Meeting:
        """Return what finds where these rows meet changes made here."""
        return Meeting(
            self._database, recent, rows_at_once=self._rows_at_once, is_snapshot=is_snapshot
        )

    def dentry(self, key: Key) -> int | None:
        """Return the node that was gathered of a name (0: none); None for nothing."""
        row = self._database.execute(
            "SELECT node_id FROM next_dentry WHERE parent = ? AND name = ?", key
        ).fetchone()
        return None if row is None else int(row[0])

    def differences(self) -> Iterator[Difference]:
        """Yield what is shown and not moved yet: names first, for they lead to what is removed."""
        assert self._mirror.is_layered
        for first, end in self._slices.of_names("next_dentry"):
            yield self._differing_names(first, end)
        for after, last in self._slices.of_nodes("next_node"):
            yield self._differing_nodes(after, last)

    def _differing_names(self, first: Key, end: Key) -> Difference:
        rows = self._database.execute(
            "SELECT next_dentry.parent, next_dentry.name, coalesce(dentry.node_id, 0), "
            "next_dentry.node_id FROM next_dentry LEFT JOIN dentry USING (parent, name) "
            f"WHERE {SLICE_OF_NAMES}",
            (*first, *end),
        ).fetchall()
        return Difference(
            dentries=[((parent, bytes(name)), before, now) for parent, name, before, now in rows]
        )

    def _differing_nodes(self, after: int, last: int) -> Difference:
        found = Difference()
        count = len(NodeRecord._fields)
        for row in self._database.execute(
            f"SELECT {_COLUMNS_OF_NEXT}, {_COLUMNS_OF_NODE} FROM next_node "
            "LEFT JOIN node USING (node_id) WHERE node_id > ? AND node_id <= ?",
            (after, last),
        ).fetchall():
            now, old = row[:count], row[count:]
            found.nodes.append(
                (
                    now[0],
                    NodeRecord._make(old) if old[0] is not None else None,
                    NodeRecord._make(now) if now[1] else None,
                )
            )
        return found

    def move(self) -> Iterator[None]:
        """Put what is shown into the mirror. What readers see does not change by it."""
        assert self._mirror.is_layered
        for after, last in self._slices.of_nodes("next_node"):
            with self._database.transaction():
                self._move_nodes(after, last)
            yield
        for first, end in self._slices.of_names("next_dentry"):
            with self._database.transaction():
                self._move_names(first, end)
            yield
        self._mirror.end_layer()

    def _move_nodes(self, after: int, last: int) -> None:
        execute = self._database.execute
        slice_, bounds = "WHERE node_id > ? AND node_id <= ?", (after, last)
        execute(
            "DELETE FROM node WHERE node_id IN "
            f"(SELECT node_id FROM next_node {slice_} AND NOT kind)",
            bounds,
        )
        execute(
            f"INSERT OR REPLACE INTO node ({NODE_COLUMNS}) "
            f"SELECT {NODE_COLUMNS} FROM next_node {slice_} AND kind",
            bounds,
        )
        execute(f"DELETE FROM next_node {slice_}", bounds)

    def _move_names(self, first: Key, end: Key) -> None:
        execute = self._database.execute
        bounds = (*first, *end)
        execute(
            "DELETE FROM dentry WHERE (parent, name) IN "
            f"(SELECT parent, name FROM next_dentry WHERE {SLICE_OF_NAMES} AND NOT node_id)",
            bounds,
        )
        execute(
            "INSERT OR REPLACE INTO dentry (parent, name, node_id, is_folder) "
            "SELECT parent, name, node_id, is_folder FROM next_dentry "
            f"WHERE {SLICE_OF_NAMES} AND node_id",
            bounds,
        )
        execute(f"DELETE FROM next_dentry WHERE {SLICE_OF_NAMES}", bounds)
