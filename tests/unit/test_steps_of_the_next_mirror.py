"""No step of the next mirror works longer than its slice, whatever the tree looks like.

Work is counted in instructions of SQLite's machine, which are the same on every computer.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backend_server.protocol.identity import DriveId
from backend_server.protocol.messages import DentryState, NodeKind, NodeState
from mountfs.state.next_mirror import ROWS_AT_ONCE
from mountfs.state.store import StateStore

MANY = 20_000
INSTRUCTIONS_A_ROW = 150
"""At most 75 were seen; of a statement that reads all of a range, 480 and 1,184."""
_UNIT = 100


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    with closing(StateStore.open(tmp_path, DriveId("0" * 16))) as state:
        yield state


def longest_step(state: StateStore, steps: Iterable[object]) -> float:
    """Return the SQLite instructions of the longest step, for each row of a slice."""
    connection = state.database._connection
    assert isinstance(connection, sqlite3.Connection)
    count = longest = 0

    def counted() -> int:
        nonlocal count
        count += 1
        return 0

    connection.set_progress_handler(counted, _UNIT)
    for broken in steps:
        assert broken is None
        longest, count = max(longest, count), 0
    longest = max(longest, count)
    connection.set_progress_handler(None, _UNIT)
    return longest * _UNIT / ROWS_AT_ONCE


def finish(steps: Iterable[object]) -> None:
    for _ in steps:
        pass


def folder_of(count: int) -> tuple[list[NodeState], list[DentryState]]:
    """A folder in the root, and `count` files in it."""
    nodes = [NodeState(1, 1, NodeKind.FOLDER), NodeState(2, 1, NodeKind.FOLDER)]
    nodes += [NodeState(10 + nth, 1, NodeKind.FILE) for nth in range(count)]
    names = [DentryState(2, b"%06d" % nth, 10 + nth, 1) for nth in range(count)]
    return nodes, [DentryState(1, b"folder", 2, 1), *names]


def test_a_snapshot_of_much_over_a_mirror_of_little(state: StateStore) -> None:
    state.mirror.apply([NodeState(1, 1, NodeKind.FOLDER), NodeState(1 << 40, 1, NodeKind.FILE)], [])
    finish(state.next_mirror.add(*folder_of(MANY)))
    assert longest_step(state, state.next_mirror.add_removals()) < INSTRUCTIONS_A_ROW
    removed = state.next_mirror.node(1 << 40)
    assert removed is not None
    assert not removed.kind


@pytest.mark.parametrize("left_count", [0, 1])
def test_the_removal_of_a_folder_of_many_names(state: StateStore, left_count: int) -> None:
    nodes, names = folder_of(MANY)
    state.mirror.apply(nodes, names)
    gone_nodes = [NodeState(node.node_id, 2, NodeKind.REMOVED) for node in nodes[1:]]
    gone_names = [DentryState(each.parent, each.name, 0, 2) for each in names]
    finish(state.next_mirror.add(gone_nodes, gone_names[: len(names) - left_count]))
    laws = list(state.next_mirror.broken_laws(is_mirror_sound=True))
    assert ("a folder was removed with what is in it" in laws) == (left_count > 0)
    if not left_count:
        steps = state.next_mirror.broken_laws(is_mirror_sound=True)
        assert longest_step(state, steps) < INSTRUCTIONS_A_ROW


@pytest.mark.parametrize("left_count", [0, 1])
def test_the_removal_of_a_file_of_many_names(state: StateStore, left_count: int) -> None:
    nodes, names = folder_of(1)
    names += [DentryState(2, b"link %06d" % nth, 10, 1) for nth in range(MANY)]
    state.mirror.apply(nodes, names)
    gone = [DentryState(each.parent, each.name, 0, 2) for each in names[1:]]
    finish(state.next_mirror.add([NodeState(10, 2, NodeKind.REMOVED)], gone[left_count:]))
    laws = list(state.next_mirror.broken_laws(is_mirror_sound=True))
    assert ("a name leads to what was removed" in laws) == (left_count > 0)
    if not left_count:
        steps = state.next_mirror.broken_laws(is_mirror_sound=True)
        assert longest_step(state, steps) < INSTRUCTIONS_A_ROW
