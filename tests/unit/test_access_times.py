"""When files were last read: what a program set stays, what reading did is forgotten some day."""

from pathlib import Path

import pytest

from backend_server.protocol.identity import DriveId
from backend_server.protocol.tree_messages import NodeKind, NodeState
from mountfs.state.access_times import DAY_NS, REMEMBERED_MAX, AccessTimes, is_due
from mountfs.state.store import StateStore

DRIVE = DriveId("0" * 16)
FILE, GONE = 70_000, 70_001
OTHERWISE = 99


@pytest.mark.parametrize(
    ("atime_ns", "mtime_ns", "ctime_ns", "now_ns", "due"),
    [
        (5, 5, 1, 10, True),
        (5, 1, 5, 10, True),
        (6, 5, 5, 10, False),
        (6, 5, 5, 6 + DAY_NS, True),
        (6, 5, 5, 5 + DAY_NS, False),
    ],
)
def test_a_read_moves_the_time_as_relatime_does(
    atime_ns: int, mtime_ns: int, ctime_ns: int, now_ns: int, due: bool
) -> None:
    assert is_due(atime_ns, mtime_ns, ctime_ns, now_ns) is due


def test_what_was_set_outlives_a_restart_and_reading_does_not(tmp_path: Path) -> None:
    state = StateStore.open(tmp_path, DRIVE)
    state.mirror.apply([NodeState(FILE, 1, NodeKind.FILE)], [])
    times = state.access_times
    assert times.of(FILE, OTHERWISE) == OTHERWISE
    times.set(FILE, 5)
    times.set(GONE, 6)
    times.read(FILE, 7)
    assert (times.of(FILE, OTHERWISE), times.of(GONE, OTHERWISE)) == (7, 6)
    state.close()
    state = StateStore.open(tmp_path, DRIVE)
    assert state.access_times.of(FILE, OTHERWISE) == 5
    assert state.access_times.of(GONE, OTHERWISE) == OTHERWISE, "nobody knows that file any more"
    state.access_times.forget(FILE)
    assert state.access_times.of(FILE, OTHERWISE) == OTHERWISE
    state.close()


def test_memory_is_bounded(tmp_path: Path) -> None:
    state = StateStore.open(tmp_path, DRIVE)
    times = AccessTimes(state.database)
    with state.database.transaction():
        for inode in range(REMEMBERED_MAX + 10):
            times.set(inode, inode)
    for inode in range(REMEMBERED_MAX + 10):
        times.read(inode + 1_000_000, inode)
    assert times.of(3, OTHERWISE) == 3, "from its row"
    assert times.of(1_000_000, OTHERWISE) == OTHERWISE, "the oldest are forgotten"
    assert times.of(1_000_000 + REMEMBERED_MAX + 9, OTHERWISE) == REMEMBERED_MAX + 9
    state.close()
