"""A plan of some changes says of each of them what a plan of all would say."""

from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_server.protocol.commit_messages import CreateNode, Operation, PlaceNodes
from backend_server.protocol.identity import DriveId
from backend_server.protocol.tree_messages import DentryState, NodeKind, NodeState
from mountfs.core.commit_plan import PlannedOperation, fill_commit
from mountfs.state.mirror import Key
from mountfs.state.records import NodeRecord
from mountfs.state.store import StateStore
from mountfs.sync import planning
from mountfs.sync.plan_window import oldest_first
from mountfs.sync.planning import plan_batch

ROOT, DOCS, SUB = 1, 2, 3
FILES = [10, 11, 12]
MADE_FOLDER, MADE_FILES = 20, [21, 22]
BEFORE = {
    (ROOT, b"docs"): DOCS, (DOCS, b"sub"): SUB, (ROOT, b"a"): 10, (DOCS, b"a"): 11, (SUB, b"a"): 12,
}  # fmt: skip
FOLDERS = [ROOT, DOCS, SUB, MADE_FOLDER]
NODES = [DOCS, SUB, *FILES, MADE_FOLDER, *MADE_FILES]
CHANGES = st.lists(
    st.tuples(
        st.tuples(st.sampled_from(FOLDERS), st.sampled_from([b"docs", b"sub", b"a", b"b", b"c"])),
        st.sampled_from([0, 0, *NODES]),
    ),
    min_size=2,
    max_size=14,
)
SOME_NODES = st.sets(st.sampled_from([*FILES, *MADE_FILES]), max_size=2)


def kind_of(node_id: int) -> NodeKind:
    return NodeKind.FOLDER if node_id in FOLDERS else NodeKind.FILE


def change(state: StateStore, key: Key, node_id: int) -> None:
    """As a program could: a name in a folder that is there, and no folder with two names."""
    tree = state.tree
    if tree.node(key[0]) is None or not (key[0] == ROOT or tree.places(key[0])):
        return
    if node_id and kind_of(node_id) is NodeKind.FOLDER:
        if tree.is_inside(key[0], node_id):
            return
        for place in tree.places(node_id):
            tree.set_child(*place, 0)
    old = tree.child(*key)
    if old in FOLDERS and tree.has_children(old):
        return
    if node_id in (MADE_FOLDER, *MADE_FILES) and tree.node(node_id) is None:
        tree.create(
            NodeRecord(node_id, kind_of(node_id), 0o644, 0, 0, 1, 1, 0, 0, 0, b"", b"", b"", 0)
        )
    tree.set_child(*key, node_id)


def operations(planned: list[PlannedOperation]) -> set[bytes]:
    """What is done, in whatever order."""
    return {
        msgspec.json.encode(msgspec.structs.replace(each.operation, number=0, group=0))
        for each in planned
    }


def keys_of(operation: Operation) -> set[Key]:
    match operation:
        case CreateNode():
            return {(operation.parent, operation.name)}
        case PlaceNodes():
            return {(change.parent, change.name) for change in operation.changes}
        case _:
            return set()


def of_rows(planned: list[PlannedOperation], keys: set[Key]) -> set[bytes]:
    return operations([each for each in planned if keys_of(each.operation) & keys])


def empties_folders_first(planned: list[PlannedOperation]) -> bool:
    """Whether nothing is taken out of a folder, or put into one, that is removed or not made."""
    gone: set[int] = set()
    to_make = {each.operation.node_id for each in planned if isinstance(each.operation, CreateNode)}
    for each in planned:
        if {parent for parent, _ in keys_of(each.operation)} & (gone | to_make):
            return False
        match each.operation:
            case CreateNode(node_id=node_id):
                to_make.discard(node_id)
            case PlaceNodes(changes=changes):
                placed = {change.node_id for change in changes}
                gone |= {change.expected for change in changes} - placed - {0}
    return True


@given(CHANGES, SOME_NODES, SOME_NODES)
def test_any_window_plans_as_all_would(
    changes: list[tuple[Key, int]], unready: set[int], held: set[int]
) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        state = StateStore.open(Path(folder), DriveId("0" * 16))
        state.mirror.apply(
            [NodeState(node, 1, kind_of(node)) for node in (ROOT, DOCS, SUB, *FILES)],
            [DentryState(*key, node, 1) for key, node in BEFORE.items()],
        )
        for each in changes:
            change(state, *each)
        whole = plan_batch(state, {}, unready, held, is_one_placement=False)
        unborn = {node for node in MADE_FILES if node in unready}
        oldest = oldest_first(state.changes, unborn | held)
        for rows_count in range(1, len(state.changes.dentries)):
            monkeypatch.setattr(planning, "ROWS_OF_A_PLAN", rows_count)
            window = plan_batch(state, {}, unready, held, is_one_placement=False)
            assert operations(window) == operations(whole), (
                "it grows until nothing is left that fits"
            )

            def full_at_once(*args: object, **options: object) -> object:
                planned, _ = fill_commit(*args, **options)  # type: ignore[arg-type]
                return planned, True

            with monkeypatch.context() as full:
                full.setattr(planning, "fill_commit", full_at_once)
                part = plan_batch(state, {}, unready, held, is_one_placement=False)
            assert operations(part) <= operations(whole)
            keys = {row.key for row in oldest[:rows_count]}
            assert of_rows(part, keys) == of_rows(whole, keys)
            assert empties_folders_first(part) or not empties_folders_first(whole)
        state.close()
