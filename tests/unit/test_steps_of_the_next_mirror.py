"""No step of the next mirror works longer than its slice, whatever the tree looks like.

Work is counted in instructions of SQLite's machine, which are the same on every computer.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backend_server.protocol.identity import DriveId
from backend_server.protocol.tree_messages import DentryState, NodeKind, NodeState
from mountfs.state.next_mirror import ROWS_AT_ONCE
from mountfs.state.store import StateStore
from mountfs.sync.applying import apply
from mountfs.sync.feed import Progress
from mountfs.sync.large_arrival import LargeArrival

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


@pytest.mark.parametrize("is_snapshot", [False, True])
def test_what_was_brought_meets_many_changes_made_here(
    state: StateStore, *, is_snapshot: bool
) -> None:
    state.mirror.apply(*folder_of(MANY))
    with state.database.transaction():
        for nth in range(0, MANY, 2):
            change_here(state, 10 + nth, b"%06d" % nth)
    _, names = folder_of(MANY)
    brought = names[1:1001]
    with state.recent.noted():
        finish(state.next_mirror.add([], [DentryState(d.parent, d.name, 0, 2) for d in brought]))
        arrival = LargeArrival(state, Progress(), is_snapshot=is_snapshot)
        # Each row is looked up in a handful of tables: 180.
        assert longest_step(state, arrival._meeting.steps()) < 2 * INSTRUCTIONS_A_ROW
        change_here(state, 10 + 1, b"%06d" % 1)
        assert longest_step(state, one_step(arrival.met)) < INSTRUCTIONS_A_ROW / 5
    assert arrival.met().dentries == dict.fromkeys(
        [(2, b"%06d" % nth) for nth in (1, *range(0, 1000, 2))], 0
    )


def test_it_is_shown_over_many_changes_made_here(state: StateStore) -> None:
    """In the transaction only what was changed on both sides is looked at."""
    state.mirror.apply(*folder_of(MANY))
    with state.database.transaction():
        for nth in range(0, MANY, 2):
            change_here(state, 10 + nth, b"%06d" % nth)
    finish(state.next_mirror.add([NodeState(11, 2, NodeKind.FILE, revision=2)], []))
    arrival = LargeArrival(state, Progress(), is_snapshot=False)
    with state.recent.noted():
        finish(arrival._meeting.steps())

        def shown() -> None:
            apply(
                state, arrival, None, {}, device_name="laptop",
                new_node_id=iter(range(1 << 40, 1 << 41)).__next__, untie=False, is_merging=False,
            )  # fmt: skip

        assert longest_step(state, one_step(shown)) < INSTRUCTIONS_A_ROW / 5
    assert len(state.changes.dentries) == MANY


def change_here(state: StateStore, node_id: int, name: bytes) -> None:
    """Rename a file of the folder, and write to it."""
    record = state.tree.node(node_id)
    assert record is not None
    state.tree.set_child(2, name, 0)
    state.tree.set_child(2, b"renamed " + name, node_id)
    state.overlays.write(state.tree.overlay_of(record), 0, b"here", now_ns=1)


def one_step(work: Callable[[], object]) -> Iterator[None]:
    work()
    yield
