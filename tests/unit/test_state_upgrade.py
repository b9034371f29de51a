"""A state that an older mountfs left opens, with everything that waited in it."""

from pathlib import Path

import pytest

from backend_server.protocol.identity import DriveId
from backend_server.protocol.tree_messages import DentryState, NodeKind, NodeState
from mountfs.errors import SetupError
from mountfs.state.database import Database
from mountfs.state.store import StateStore

DRIVE = DriveId("0" * 16)
NODE = 9

_LOG_OF_VERSION_1 = """
    CREATE TABLE overlay_log (
        touched        INTEGER NOT NULL PRIMARY KEY,
        generation_id  INTEGER NOT NULL,
        start_at       INTEGER NOT NULL,
        end_at         INTEGER,
        data           BLOB,
        at_ns          INTEGER NOT NULL
    )
"""

_AFTER_VERSION_3 = (
    "DROP VIEW shown_node",
    "DROP VIEW shown_dentry",
    "DROP TABLE next_node",
    "DROP TABLE next_dentry",
)

_AFTER_VERSION_2 = (
    *_AFTER_VERSION_3,
    "DROP INDEX subfolder",
    "ALTER TABLE dentry DROP COLUMN is_folder",
    "ALTER TABLE local_dentry DROP COLUMN at_ns",
    "ALTER TABLE node DROP COLUMN xattrs",
    "ALTER TABLE local_node DROP COLUMN xattrs",
    "DROP TABLE access_time",
    "DROP INDEX conflict",
    "ALTER TABLE overlay DROP COLUMN merged_from",
    "DROP TABLE dispute",
    *(
        f"ALTER TABLE {table} DROP COLUMN {column}"
        for table in ("node", "local_node")
        for column in ("conflict_of", "conflict_device", "conflict_at_ns")
    ),
)


def test_a_state_of_version_2_counts_its_folders(tmp_path: Path) -> None:
    state = StateStore.open(tmp_path, DRIVE)
    state.mirror.apply(
        [
            NodeState(1, 1, NodeKind.FOLDER),
            NodeState(NODE, 2, NodeKind.FOLDER),
            NodeState(NODE + 1, 3, NodeKind.FILE),
        ],
        [DentryState(1, b"d", NODE, 2), DentryState(1, b"f", NODE + 1, 3)],
    )
    state.tree.set_child(1, b"g", NODE + 1, at_ns=7)
    state.set_value("cursor", "cursor of version 2")
    state.close()
    database = Database(tmp_path / "state.db")
    for statement in _AFTER_VERSION_2:
        database.execute(statement)
    database.execute("PRAGMA user_version = 2")
    database.close()

    state = StateStore.open(tmp_path, DRIVE)
    assert state.tree.subfolders_count(1) == 1
    assert state.tree.names_count(NODE + 1) == 2
    assert state.access_times.of(NODE, 5) == 5
    assert state.cursor == "upgraded", "no cursor: what an older program dropped is fetched anew"
    state.close()


async def test_a_state_of_version_3_can_take_many_changes(tmp_path: Path) -> None:
    StateStore.open(tmp_path, DRIVE).close()
    database = Database(tmp_path / "state.db")
    schema = "SELECT type, name, tbl_name FROM sqlite_master ORDER BY name"
    fresh = database.execute(schema).fetchall()
    for statement in _AFTER_VERSION_3:
        database.execute(statement)
    database.execute("PRAGMA user_version = 3")
    database.close()

    state = StateStore.open(tmp_path, DRIVE)
    assert state.database.execute(schema).fetchall() == fresh
    nodes = [NodeState(1, 1, NodeKind.FOLDER), NodeState(NODE, 2, NodeKind.FOLDER)]
    for _ in state.next_mirror.add(nodes, [DentryState(1, b"d", NODE, 2)]):
        pass
    assert list(state.next_mirror.broken_laws(is_mirror_sound=True)) == [None, None]
    state.mirror.show_layer()
    told = [each.dentries for each in state.next_mirror.differences()]
    assert told == [[((1, b"d"), 0, NODE)], []]
    for _ in state.next_mirror.move():
        pass
    assert state.tree.subfolders_count(1) == 1
    state.close()


def test_what_waited_in_a_state_of_version_1_is_still_there(tmp_path: Path) -> None:
    state = StateStore.open(tmp_path, DRIVE)
    overlay = state.overlays.begin(NODE, expected_revision=0, source=None)
    state.overlays.write(overlay, 0, b"lost? never", now_ns=1)
    state.overlays.freeze(overlay)
    state.overlays.write(overlay, 0, b"kept", now_ns=2)
    state.overlays.truncate(overlay, 6, now_ns=3)
    state.overlays.write(overlay, 6, b"!", now_ns=4)
    state.close()
    database = Database(tmp_path / "state.db")
    rows = database.execute(
        "SELECT touched, place >> 32, start_at, end_at, data, at_ns FROM overlay_log"
    ).fetchall()
    database.execute("DROP TABLE overlay_log")
    database.execute(_LOG_OF_VERSION_1)
    database.execute("CREATE INDEX log_by_generation ON overlay_log (generation_id, touched)")
    database.execute("CREATE INDEX generation_by_node ON generation (node_id, generation_id)")
    database.execute_many("INSERT INTO overlay_log VALUES (?,?,?,?,?,?)", rows)
    for statement in _AFTER_VERSION_2:
        database.execute(statement)
    database.execute("PRAGMA user_version = 1")
    database.close()

    state = StateStore.open(tmp_path, DRIVE)
    again = state.overlays.get(NODE)
    assert again is not None
    assert [
        [(e.start, e.end, state.overlays.read(g, e)) for e in g.extents] for g in again.generations
    ] == [[(0, 11, b"lost? never")], [(0, 4, b"kept"), (6, 7, b"!")]]
    assert again.size_bytes == 7
    assert again.mtime_ns == 4
    state.overlays.write(again, 4, b"??", now_ns=5)
    assert [(e.start, e.end) for e in again.generations[2].extents] == [(4, 6)]
    state.close()


def test_a_state_of_a_newer_mountfs_is_refused(tmp_path: Path) -> None:
    StateStore.open(tmp_path, DRIVE).close()
    database = Database(tmp_path / "state.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(SetupError, match="version 99"):
        StateStore.open(tmp_path, DRIVE)
