"""Batches: what goes in which order, and what waits with whom."""

from collections.abc import Iterable

from backend_server.protocol.commit_messages import (
    CreateNode,
    NewContent,
    PlaceNodes,
    SetAttributes,
    SetContent,
)
from backend_server.protocol.tree_messages import NodeKind
from mountfs.core.commit_plan import (
    DentryRow,
    LocalState,
    NodeChange,
    PlannedOperation,
    ReadyContent,
    plan_commit,
)

ROOT = 1


def node(
    node_id: int, touched: int, *, kind: NodeKind = NodeKind.FILE, is_created: bool = True
) -> NodeChange:
    return NodeChange(node_id, kind, 0o644, 0, 0, 1, 1, 3, b"", 0, is_created, touched)


def ready(node_id: int, *, revision: int = 0) -> ReadyContent:
    return ReadyContent(node_id, revision, NewContent(b"m" * 32, 5), (7,), 2, 2, 9)


def planned(
    *,
    nodes: Iterable[NodeChange] = (),
    dentries: Iterable[DentryRow] = (),
    contents: Iterable[ReadyContent] = (),
    unready: Iterable[int] = (),
    held: Iterable[int] = (),
    folders: Iterable[int] = (),
    operations_max: int = 1000,
    is_one_placement: bool = False,
) -> list[PlannedOperation]:
    made = {change.node_id: change for change in nodes}

    def kind_of(node_id: int) -> int:
        return NodeKind.FOLDER if node_id in folders else NodeKind.FILE

    state = LocalState(
        nodes=made,
        dentries=list(dentries),
        contents={content.node_id: content for content in contents},
        unready=set(unready),
        held=set(held),
        kind_of=kind_of,
        head_of=lambda node_id: 40 + node_id,
        mtime_of=lambda node_id: 0,
        xattrs_of=lambda node_id: b"",
        conflict_of=lambda node_id: 0,
    )
    return plan_commit(
        state,
        first_number=100,
        operations_max=operations_max,
        is_one_placement=is_one_placement,
    )


def test_numbers_have_no_gaps() -> None:
    plan = planned(
        nodes=[node(10, 1), node(11, 2), node(12, 3, is_created=False)],
        dentries=[DentryRow(ROOT, b"a", 10, 0, 1), DentryRow(ROOT, b"b", 11, 0, 2)],
    )
    assert [item.operation.number for item in plan] == [100, 101, 102]


def test_a_file_is_made_with_its_content() -> None:
    (item,) = planned(
        nodes=[node(10, 1)], dentries=[DentryRow(ROOT, b"a", 10, 0, 1)], contents=[ready(10)]
    )
    assert isinstance(item.operation, CreateNode)
    assert item.operation.content is not None
    assert item.generation_ids == (7,)


def test_a_file_waits_for_its_content_and_nobody_else_waits() -> None:
    plan = planned(
        nodes=[node(10, 1), node(11, 2)],
        dentries=[DentryRow(ROOT, b"a", 10, 0, 1), DentryRow(ROOT, b"b", 11, 0, 2)],
        unready=[10],
    )
    assert [getattr(item.operation, "node_id", 0) for item in plan] == [11]


def test_a_folder_comes_before_what_is_in_it_whatever_was_touched_first() -> None:
    plan = planned(
        nodes=[node(10, 1), node(20, 5, kind=NodeKind.FOLDER)],
        dentries=[DentryRow(20, b"in", 10, 0, 1), DentryRow(ROOT, b"d", 20, 0, 5)],
    )
    assert [getattr(item.operation, "node_id", 0) for item in plan] == [20, 10]


def test_what_is_in_a_waiting_folder_waits_too() -> None:
    plan = planned(
        nodes=[node(10, 1), node(20, 5, kind=NodeKind.FOLDER)],
        dentries=[DentryRow(20, b"in", 10, 0, 1), DentryRow(ROOT, b"d", 20, 0, 5)],
        held=[20],
    )
    assert plan == []


def test_a_folder_is_emptied_before_it_is_removed() -> None:
    plan = planned(
        dentries=[DentryRow(ROOT, b"d", 0, 20, 1), DentryRow(20, b"in", 0, 10, 2)], folders=[20]
    )
    removed = [
        change.expected
        for item in plan
        if isinstance(item.operation, PlaceNodes)
        for change in item.operation.changes
    ]
    assert removed == [10, 20]


def test_a_removal_names_the_head_it_has_seen() -> None:
    (item,) = planned(dentries=[DentryRow(ROOT, b"a", 0, 10, 1)])
    assert isinstance(item.operation, PlaceNodes)
    assert [(head.node_id, head.revision) for head in item.operation.heads] == [(10, 50)]


def test_a_rename_is_one_operation() -> None:
    (item,) = planned(
        dentries=[DentryRow(ROOT, b"old", 0, 10, 1), DentryRow(ROOT, b"new", 10, 0, 2)]
    )
    assert isinstance(item.operation, PlaceNodes)
    assert len(item.operation.changes) == 2
    assert item.operation.heads == []


def test_a_rename_over_a_file_waits_for_the_content_that_it_shows() -> None:
    rows = [DentryRow(ROOT, b"tmp", 0, 10, 1), DentryRow(ROOT, b"f", 10, 11, 2)]
    assert planned(dentries=rows, unready=[10]) == []
    plan = planned(dentries=rows, contents=[ready(10, revision=4)])
    assert [type(item.operation) for item in plan] == [SetContent, PlaceNodes]
    assert plan[0].operation.group == plan[1].operation.group != 0


def test_a_new_file_on_a_taken_name_goes_with_the_move_of_the_old_one() -> None:
    plan = planned(
        nodes=[node(12, 3)],
        dentries=[DentryRow(ROOT, b"f", 12, 11, 3), DentryRow(ROOT, b"g", 11, 0, 2)],
    )
    assert [type(item.operation) for item in plan] == [PlaceNodes, CreateNode]
    assert plan[0].operation.group == plan[1].operation.group != 0


def test_a_batch_is_cut_where_its_parts_still_stand() -> None:
    nodes = [node(20, 0, kind=NodeKind.FOLDER)] + [node(30 + n, n + 1) for n in range(10)]
    rows = [DentryRow(ROOT, b"d", 20, 0, 0)] + [
        DentryRow(20, b"%d" % n, 30 + n, 0, n + 1) for n in range(10)
    ]
    plan = planned(nodes=nodes, dentries=rows, operations_max=4)
    assert [getattr(item.operation, "node_id", 0) for item in plan] == [20, 30, 31, 32]


def test_attributes_follow_and_parked_nodes_stay() -> None:
    plan = planned(nodes=[node(10, 1, is_created=False), node(11, 2, is_created=False)], held=[11])
    (item,) = plan
    assert isinstance(item.operation, SetAttributes)
    assert item.operation.base_version == 3


def test_a_knot_of_moves_is_one_placement() -> None:
    rows = [
        DentryRow(ROOT, b"a", 0, 20, 1), DentryRow(21, b"a", 20, 0, 2),
        DentryRow(ROOT, b"b", 0, 22, 3), DentryRow(20, b"b", 22, 0, 4),
    ]  # fmt: skip
    assert len(planned(dentries=rows, folders=[20, 21, 22])) == 2
    assert len(planned(dentries=rows, folders=[20, 21, 22], is_one_placement=True)) == 1
