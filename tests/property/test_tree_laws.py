"""Laws of the server's tree, over random operations, against a plain model."""

from collections.abc import Sequence
from copy import deepcopy
from itertools import groupby
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backend_server.protocol.commit_messages import CommitRequest, Operation, Outcome
from backend_server.protocol.tree_messages import NodeKind
from drive_kit import (
    DRIVE,
    OTHER_DEVICE,
    OWNER,
    DriveKit,
    create,
    inline_content,
    open_drive,
    place,
    renumbered,
    set_attributes,
    set_content,
)
from tree_model import ROOT, Mirror, Model, laws_hold

FIRST_NODE = 1 << 20
NODES = [ROOT, *range(FIRST_NODE, FIRST_NODE + 12)]
NAMES = [b"a", b"b", b"c"]
KINDS = [NodeKind.FILE, NodeKind.FILE, NodeKind.FOLDER, NodeKind.SYMLINK]
QUOTA_BYTES = 60

# A number is resolved against what is there when its turn comes: 0-11 picks something that fits,
# 12 and 13 any node at all. So most operations make sense, and some do not.
picks = st.integers(0, 13)
names = st.sampled_from(NAMES)
# How many bytes; None is no content at all.
sizes = st.one_of(st.none(), st.integers(0, 30), st.integers(0, 30))
# Whether the operation expects what is, or something else.
truths = st.integers(0, 9).map(lambda n: n > 0)

intents = st.one_of(
    st.tuples(st.just("create"), picks, names, picks, st.sampled_from(KINDS), sizes),
    st.tuples(
        st.just("place"),
        st.lists(st.tuples(picks, names, picks, truths), min_size=1, max_size=3),
    ),
    st.tuples(st.just("move"), picks, picks, names, st.sampled_from(["over", "exchange", "onto"])),
    st.tuples(st.just("remove"), picks),
    st.tuples(st.just("content"), picks, st.integers(0, 30), truths),
    st.tuples(st.just("attributes"), picks, truths),
)
# A commit: each operation with its group.
commits = st.lists(st.tuples(st.integers(0, 2), intents), min_size=1, max_size=6)
histories = st.lists(commits, min_size=1, max_size=8)

STARTING_TREE = [
    (0, ("create", 0, b"a", 0, NodeKind.FOLDER, None)),
    (0, ("create", 1, b"a", 0, NodeKind.FOLDER, None)),
    (0, ("create", 0, b"b", 0, NodeKind.FILE, 10)),
    (0, ("create", 2, b"c", 0, NodeKind.FILE, 20)),
]


def pick(choices: Sequence[int], number: int) -> int:
    fits = number < 12 and choices
    return choices[number % len(choices)] if fits else NODES[-(number % len(NODES))]


def pick_folder(model: Model, number: int) -> int:
    folders = [each for each, node in model.nodes.items() if node.kind is NodeKind.FOLDER]
    return pick(folders, number)


def pick_node(model: Model, number: int) -> int:
    return pick(list(model.nodes), number)


def resolve(intent: Any, model: Model, group: int) -> Operation:
    """Make an operation of an intent, expecting (mostly) what the model has."""
    match intent:
        case ("create", parent, name, node, kind, size):
            unused = [each for each in NODES if each not in model.seen]
            content = None
            if kind is NodeKind.FILE and size is not None:
                content = inline_content(bytes(size))
            return create(
                pick_folder(model, parent),
                name,
                max(FIRST_NODE, pick(unused, node)),
                kind=kind,
                content=content,
                group=group,
                target=b"there" if kind is NodeKind.SYMLINK else b"",
            )
        case ("place", changes):
            resolved = {
                (pick_folder(model, parent), name): (node, is_true)
                for parent, name, node, is_true in changes
            }
            return place(
                *(
                    (*key, _expected(model, key, is_true), pick_node(model, node) if node else 0)
                    for key, (node, is_true) in resolved.items()
                ),
                group=group,
            )
        case ("move", dentry, parent, name, way):
            old_key, moved = _pick_dentry(model, dentry)
            new_key = (pick_folder(model, parent), name)
            there = model.dentries.get(new_key, 0)
            changes = [(*new_key, there if way != "onto" else 0, moved)]
            if old_key != new_key:
                changes.append((*old_key, moved, there if way == "exchange" else 0))
            return place(*changes, group=group)
        case ("remove", dentry):
            key, node = _pick_dentry(model, dentry)
            return place((*key, node, 0), group=group)
        case ("content", node, size, is_true):
            files = [each for each, known in model.nodes.items() if known.kind is NodeKind.FILE]
            node = pick(files, node)
            known = model.nodes.get(node)
            revision = 0 if known is None else known.revision
            content = inline_content(bytes(size))
            return set_content(node, revision + (not is_true), content, group=group)
        case ("attributes", node, is_true):
            node = pick_node(model, node)
            known = model.nodes.get(node)
            version = 0 if known is None else known.attributes_version
            return set_attributes(node, version + (not is_true), group=group)
    raise AssertionError(intent)


def _pick_dentry(model: Model, number: int) -> tuple[tuple[int, bytes], int]:
    if not model.dentries:
        return (ROOT, b"a"), 0
    return list(model.dentries.items())[number % len(model.dentries)]


def _expected(model: Model, key: tuple[int, bytes], is_true: bool) -> int:
    there = model.dentries.get(key, 0)
    return there if is_true else NODES[1] if there != NODES[1] else 0


def plan(commit: Any, model: Model) -> tuple[list[Operation], list[tuple[Outcome, int]]]:
    """Return the operations of a commit, and what the model (which makes them) answers."""
    operations: list[Operation] = []
    answers: list[tuple[Outcome, int]] = []
    # Groups must be contiguous: equal neighbours are one, later ones of the same number another.
    for unit_number, (group, members) in enumerate(
        groupby(commit, key=lambda member: member[0]), start=1
    ):
        if group == 0:
            for _, intent in members:
                operation = resolve(intent, model, 0)
                operations.append(operation)
                answers.extend(model.commit([operation]))
        else:
            unit = _resolve_unit([intent for _, intent in members], model, unit_number)
            operations.extend(unit)
            answers.extend(model.commit(unit))
    return operations, answers


def _resolve_unit(intents_: Sequence[Any], model: Model, group: int) -> list[Operation]:
    """Resolve each operation of a group against what those before it leave."""
    trial = deepcopy(model)
    unit = []
    for intent in intents_:
        operation = resolve(intent, trial, group)
        trial.commit([operation])
        unit.append(operation)
    return unit


async def start(*, quota_bytes: int = QUOTA_BYTES) -> tuple[DriveKit, Model]:
    kit = await open_drive(quota_bytes=quota_bytes, rows_max=12)
    model = Model(quota_bytes)
    await kit.commit(*plan(STARTING_TREE, model)[0])
    return kit, model


async def check_is(kit: DriveKit, model: Model, mirror: Mirror) -> None:
    assert mirror.nodes == model.nodes
    assert mirror.dentries == model.dentries
    assert mirror.used_bytes == model.used_bytes
    assert laws_hold(mirror.nodes, mirror.dentries)


@given(histories)
async def test_the_drive_is_what_the_model_is_by_every_road(history: Any) -> None:
    """Answers, the snapshot, and the changes behind every earlier cursor all agree with it."""
    kit, model = await start()
    mirrors = [Mirror()]
    mirrors[0].apply(await kit.snapshot())
    for commit in history:
        operations, expected = plan(commit, model)
        answer = await kit.commit(*operations)
        for got, (outcome, sequence) in zip(answer.answers, expected, strict=True):
            # Of a group that is beyond the quota the model does not say which one is to blame.
            is_skipped = got.outcome is Outcome.SKIPPED
            assert got.outcome is outcome or (is_skipped and outcome is Outcome.REFUSED)
            assert got.sequence == sequence
        assert answer.quota.used_bytes == model.used_bytes
        snapshot = Mirror()
        snapshot.apply(await kit.snapshot())
        await check_is(kit, model, snapshot)
        for earlier in mirrors:
            later = earlier.copy()
            later.apply(await kit.changes(earlier.cursor))
            await check_is(kit, model, later)
        mirrors.append(snapshot)


@given(histories)
async def test_a_repeated_request_is_answered_alike_and_changes_nothing(history: Any) -> None:
    kit, model = await start()
    first = len(STARTING_TREE) + 1
    for commit in history:
        operations = renumbered(plan(commit, model)[0], first=first)
        answer = await kit.commit_operations(OWNER, DRIVE, CommitRequest(0, operations))
        before = await kit.snapshot()
        again = await kit.commit_operations(OWNER, DRIVE, CommitRequest(0, operations))
        assert again == answer
        assert await kit.snapshot() == before
        first += len(operations)


@given(commits, commits)
async def test_a_snapshot_read_while_the_drive_changes_ends_as_it_is_then(
    early: Any, late: Any
) -> None:
    kit, model = await start()
    more = [(0, ("create", 0, b"%d" % number, 0, NodeKind.FILE, None)) for number in range(6)]
    await kit.commit(*plan(more, model)[0])
    await kit.commit(*plan(early, model)[0])
    pages = [await kit.load_snapshot_page(OWNER, DRIVE, None)]
    assert pages[0].has_more
    await kit.commit(*plan(late, model)[0], caller=OTHER_DEVICE)
    while pages[-1].has_more:
        pages.append(await kit.load_snapshot_page(OWNER, DRIVE, pages[-1].cursor))
    mirror = Mirror()
    mirror.apply(pages)
    mirror.apply(await kit.changes(mirror.cursor))
    await check_is(kit, model, mirror)
