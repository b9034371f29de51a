"""The next mirror: what is too much for one transaction is shown at once, or not at all.

Held against the tree of tests/lawful_tree, in slices so small that every row is a slice's first or
last, and with the state copied at every step, as a killed daemon leaves it.
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from backend_server.protocol.identity import DriveId
from backend_server.protocol.tree_messages import DentryState, NodeKind, NodeState
from lawful_tree import Key, Tree
from mountfs.state.next_mirror import NextMirror
from mountfs.state.store import StateStore
from mountfs.sync.feed import Progress
from mountfs.sync.large_arrival import LargeArrival

DRIVE = DriveId("0" * 16)
FOLDER, FILE, REMOVED = NodeKind.FOLDER, NodeKind.FILE, NodeKind.REMOVED
ROOT, DOCS, INNER, LETTER = 1, 10, 11, 12
BEFORE = Tree(
    {ROOT: FOLDER, DOCS: FOLDER, INNER: FOLDER, LETTER: FILE},
    {(ROOT, b"docs"): DOCS, (DOCS, b"inner"): INNER, (INNER, b"letter"): LETTER},
)
IDS = [ROOT, DOCS, INNER, LETTER, 20, 21]
NODES = st.dictionaries(
    st.sampled_from(IDS), st.sampled_from([REMOVED, FILE, FOLDER, FOLDER]), max_size=4
)
NAMES = st.dictionaries(
    st.tuples(st.sampled_from([*IDS, 22]), st.sampled_from([b"docs", b"inner", b"letter", b"x"])),
    st.sampled_from([0, 0, *IDS, 22]),
    max_size=5,
)
SLICES = st.sampled_from([1, 2, 250])


def states_of(tree: Tree) -> tuple[list[NodeState], list[DentryState]]:
    return (
        [NodeState(node, 1, kind) for node, kind in tree.nodes.items()],
        [DentryState(*key, node, 1) for key, node in tree.names.items()],
    )


def opened(folder: str | Path, rows_at_once: int) -> StateStore:
    state = StateStore.open(Path(folder), DRIVE)
    state.next_mirror = NextMirror(state.database, state.mirror, rows_at_once=rows_at_once)
    return state


def shown(state: StateStore) -> tuple[dict[int, int], dict[Key, int]]:
    """What a reader of the mirror finds, by every way that it has."""
    mirror = state.mirror
    nodes = {record.node_id: record.kind for record in mirror.all_nodes()}
    names = {
        (parent, name): node_id
        for parent in [*IDS, 22]
        for name, node_id in mirror.children(parent)
    }
    for parent, name in names:
        assert mirror.child(parent, name) == names[parent, name]
    for node_id in [*IDS, 22]:
        record = mirror.node(node_id)
        assert (record.kind if record else None) == nodes.get(node_id)
        places = sorted(key for key, node in names.items() if node == node_id)
        assert sorted(mirror.places(node_id)) == places
        assert mirror.names_count(node_id) == len(places)
        folders = [n for (parent, _), n in names.items() if parent == node_id]
        assert mirror.subfolders_count(node_id) == sum(nodes.get(n) == FOLDER for n in folders)
        entries = mirror.entries_from(node_id, b"", 10)
        assert [r.node_id for _, r in entries] == [n for n in folders if nodes.get(n) == FOLDER]
    return nodes, names


def tree_in(state: StateStore) -> Tree:
    nodes, names = shown(state)
    return Tree({node: NodeKind(kind) for node, kind in nodes.items()}, names)


def gathered(state: StateStore, tree: Tree, *, is_snapshot: bool) -> Iterator[str | None]:
    """Every step of gathering `tree`; yields the broken law, if there is one."""
    rows = state.next_mirror
    yield from rows.clear()
    yield from rows.add(*states_of(tree))
    if is_snapshot:
        yield from rows.add_removals()
    yield from rows.broken_laws(is_mirror_sound=True)
    if is_snapshot:
        yield from rows.drop_equal()


@given(NODES, NAMES, SLICES)
def test_changes_pass_if_they_keep_every_law_and_else_not(
    nodes: dict[int, NodeKind], names: dict[Key, int], rows_at_once: int
) -> None:
    is_same_kind = all(not k or BEFORE.nodes.get(node, k) is k for node, k in nodes.items())
    after = BEFORE.with_states(nodes, names)
    with TemporaryDirectory() as folder:
        state = opened(folder, rows_at_once)
        state.mirror.apply(*states_of(BEFORE))
        broken = set(gathered(state, Tree(nodes, names), is_snapshot=False)) - {None}
        assert (not broken) == (after.is_lawful() and is_same_kind)
        assert tree_in(state).names == BEFORE.names
        if not broken:
            state.mirror.show_layer()
            for _ in state.next_mirror.move():
                assert (tree_in(state).nodes, tree_in(state).names) == (after.nodes, after.names)
            assert not state.mirror.is_layered
            assert (tree_in(state).nodes, tree_in(state).names) == (after.nodes, after.names)
        state.close()


@given(NODES, NAMES, SLICES)
def test_a_snapshot_passes_if_it_is_a_tree_and_is_all_there_is(
    nodes: dict[int, NodeKind], names: dict[Key, int], rows_at_once: int
) -> None:
    whole = BEFORE.with_states(nodes, names)
    is_same_kind = all(BEFORE.nodes.get(node, kind) is kind for node, kind in whole.nodes.items())
    with TemporaryDirectory() as folder:
        state = opened(folder, rows_at_once)
        state.mirror.apply(*states_of(BEFORE))
        broken = set(gathered(state, whole, is_snapshot=True)) - {None}
        assert (not broken) == (whole.is_lawful() and is_same_kind)
        if not broken:
            kept = state.database.execute("SELECT node_id FROM next_node").fetchall()
            differing = BEFORE.nodes.items() ^ whole.nodes.items()
            assert {node for (node,) in kept} == {node for node, _ in differing}
            state.mirror.show_layer()
            told = [each for step in state.next_mirror.differences() for each in step.dentries]
            assert {key for key, _, _ in told} == {
                key for key, _ in BEFORE.names.items() ^ whole.names.items()
            }
            _finish(state.next_mirror.move())
            assert (tree_in(state).nodes, tree_in(state).names) == (whole.nodes, whole.names)
        state.close()


MOVED_ON = BEFORE.with_states(
    {LETTER: REMOVED, 20: FOLDER, 21: FILE},
    {
        (INNER, b"letter"): 0,
        (DOCS, b"inner"): 0,
        (ROOT, b"x"): INNER,
        (INNER, b"y"): 20,
        (20, b"z"): 21,
    },
)


def steps_of_a_reset(state: StateStore) -> Iterator[None]:
    yield from (None for _ in gathered(state, MOVED_ON, is_snapshot=True))
    with state.database.transaction():
        LargeArrival(state, Progress(), is_snapshot=True).enter()
        state.set_value("cursor", "after")
    yield
    for _ in state.next_mirror.move():
        yield


def test_killed_at_any_step_of_a_reset_the_tree_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    state = opened(tmp_path / "state", 1)
    state.mirror.apply(*states_of(BEFORE))
    state.set_value("cursor", "before")
    seen = []
    for step, _ in enumerate(steps_of_a_reset(state)):
        copy = tmp_path / str(step)
        shutil.copytree(tmp_path / "state", copy)
        again = opened(copy, 1)
        seen.append(again.cursor)
        expected = BEFORE if again.cursor == "before" else MOVED_ON
        assert (tree_in(again).nodes, tree_in(again).names) == (expected.nodes, expected.names)
        _finish(steps_of_a_reset(again) if again.cursor == "before" else again.next_mirror.move())
        assert (tree_in(again).nodes, tree_in(again).names) == (MOVED_ON.nodes, MOVED_ON.names)
        again.close()
    assert seen == sorted(seen, reverse=True)
    assert seen.count("before") > 20
    assert seen.count("after") > 8
    state.close()


def _finish(steps: Iterable[object]) -> None:
    for _ in steps:
        pass
