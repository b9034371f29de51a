"""Makes the next batch from what differs: gathers facts, lets `core.commit_plan` decide, stores."""

from collections.abc import Iterator
from typing import Final

import msgspec

from backend_server.protocol.commit_messages import (
    CommitRequest,
    CreateNode,
    Operation,
    PlaceNodes,
    SetContent,
)
from backend_server.protocol.limits import COMMIT_OPERATIONS_MAX
from backend_server.protocol.tree_messages import NodeKind
from mountfs.core.commit_plan import (
    DentryRow,
    LocalState,
    NodeChange,
    PlannedOperation,
    ReadyContent,
    fill_commit,
)
from mountfs.core.deferral import VACATED_S
from mountfs.state.batches import SentOperation
from mountfs.state.overlay import Source
from mountfs.state.records import LocalDentry
from mountfs.state.store import StateStore
from mountfs.sync.plan_window import closed, oldest_first

ROWS_OF_A_PLAN: Final = 3 * COMMIT_OPERATIONS_MAX
"""Changed dentries that a batch is looked for in first: 40 ms with what they need."""


def held_nodes(state: StateStore, *, now_s: float, is_hurried: bool) -> set[int]:
    """Return nodes whose changes wait: refused ones, disputed ones, and files whose name was just
    vacated."""
    held = state.parking.codes.keys() | state.disputes.bases.keys()
    if not is_hurried:
        held |= {row.expected for row in _vacated(state, now_s)}
    return held


def stuck_nodes(state: StateStore) -> set[int]:
    """Return nodes whose changes the server refused, and those that can only go after them.

    What is in a folder that was refused waits for the folder, and the removal of a folder waits
    for what must leave it first.
    """
    rows = list(state.changes.dentries.values())
    nodes = state.changes.nodes
    stuck = set(state.parking.codes)
    while stuck:
        emptying = {row.parent for row in rows if {row.node_id, row.expected} & stuck}
        more = {
            node_id
            for row in rows
            if {row.node_id, row.expected} & stuck
            or (row.parent in stuck and row.parent in nodes and nodes[row.parent].is_created)
            or (row.expected in emptying and row.node_id != row.expected)
            for node_id in (row.node_id, row.expected)
            if node_id
        } - stuck
        if not more:
            break
        stuck |= more
    return stuck


def next_held_until_s(state: StateStore, *, now_s: float) -> float | None:
    """Return when the next vacated name will have waited long enough; None when none waits."""
    return min((row.at_s + VACATED_S for row in _vacated(state, now_s)), default=None)


def settle_unchanged(state: StateStore, contents: dict[int, ReadyContent]) -> None:
    """A file saved again with the bytes that it had is no new revision: only its times travel."""
    for node_id, content in list(contents.items()):
        head = state.mirror.node(node_id)
        created = state.changes.nodes.get(node_id)
        overlay = state.overlays.get(node_id)
        if (
            head is None
            or overlay is None
            or (created is not None and created.is_created)
            or content.new_content.manifest_id != head.manifest_id
            or overlay.expected_revision != head.revision
        ):
            continue
        record = state.tree.node(node_id)
        assert record is not None
        committed = Source(node_id, head.revision, head.manifest_id, head.entries, head.size_bytes)
        with state.database.transaction():
            state.overlays.retire(overlay, content.generation_ids, committed)
            state.tree.set_attributes(record)
        del contents[node_id]


def plan_batch(
    state: StateStore,
    contents: dict[int, ReadyContent],
    unready: set[int],
    held: set[int],
    *,
    is_one_placement: bool,
) -> list[PlannedOperation]:
    """Return the next batch; empty when nothing can be sent. Changes nothing."""
    changes = state.changes
    if is_one_placement or len(changes.dentries) <= ROWS_OF_A_PLAN:
        rows = list(changes.dentries.values())
        return _plan(state, rows, contents, unready, held, is_one_placement=is_one_placement)[0]
    unborn = {node_id for node_id in unready & changes.nodes.keys() if _is_created(state, node_id)}
    candidates = oldest_first(changes, unborn | held)
    count = ROWS_OF_A_PLAN
    while True:
        rows = closed(changes, candidates[:count])
        planned, is_full = _plan(state, rows, contents, unready, held, is_one_placement=False)
        if is_full or count >= len(candidates):
            return planned
        count *= 4  # mostly what waits for a content that is not sent yet


def _plan(
    state: StateStore,
    rows: list[LocalDentry],
    contents: dict[int, ReadyContent],
    unready: set[int],
    held: set[int],
    *,
    is_one_placement: bool,
) -> tuple[list[PlannedOperation], bool]:
    facts = LocalState(
        nodes={node.node_id: NodeChange(*node) for node in state.changes.nodes.values()},
        dentries=[
            DentryRow(row.parent, row.name, row.node_id, row.expected, row.touched, row.at_ns)
            for row in rows
        ],
        contents=contents,
        unready=unready,
        held=held,
        kind_of=lambda node_id: _kind_of(state, node_id),
        head_of=lambda node_id: _head_of(state, node_id),
        mtime_of=lambda node_id: _mtime_of(state, node_id),
        xattrs_of=lambda node_id: _xattrs_of(state, node_id),
        conflict_of=lambda node_id: _conflict_of(state, node_id),
    )
    return fill_commit(
        facts,
        first_number=state.batches.last_number + 1,
        is_one_placement=is_one_placement,
    )


def store_batch(state: StateStore, planned: list[PlannedOperation]) -> None:
    """Remember the batch, before it is sent, and which rows are on their way with it."""
    with state.database.transaction():
        state.batches.begin(
            [
                SentOperation(
                    _without_inline(item.operation),
                    item.node_touched,
                    list(item.dentries_touched),
                    list(item.generation_ids),
                )
                for item in planned
            ]
        )
    mark_in_flight(state)


def mark_in_flight(state: StateStore) -> None:
    """Set the rows' marks from the stored batch; also after a restart."""
    changes = state.changes
    for sent in state.batches.in_flight:
        match sent.operation:
            case CreateNode() as create:
                changes.in_flight_nodes.add(create.node_id)
                changes.in_flight_dentries.add((create.parent, create.name))
            case PlaceNodes() as place:
                changes.in_flight_dentries |= {(c.parent, c.name) for c in place.changes}
            case operation:
                changes.in_flight_nodes.add(operation.node_id)
        node_id = getattr(sent.operation, "node_id", 0)
        overlay = state.overlays.get(node_id)
        if overlay is not None:
            for generation in overlay.generations:
                generation.is_frozen |= generation.generation_id in sent.generation_ids


def request_of(operations: list[Operation], *, answered_through: int) -> CommitRequest:
    return CommitRequest(answered_through, operations)


def is_sent(state: StateStore, point: int) -> bool:
    """Whether nothing that was changed up to the change `point` is left but what was refused."""
    stuck = stuck_nodes(state)
    return (
        not state.batches.in_flight
        and all(
            row.touched > point or {row.node_id, row.expected} & stuck
            for row in state.changes.dentries.values()
        )
        and all(
            node.touched > point or node.node_id in stuck for node in state.changes.nodes.values()
        )
        and all(
            overlay.first_touched > point or overlay.node_id in stuck for overlay in state.overlays
        )
    )


def _without_inline(operation: Operation) -> Operation:
    match operation:
        case CreateNode(content=content) | SetContent(content=content) if content is not None:
            bare = msgspec.structs.replace(content, inline=[])
            return msgspec.structs.replace(operation, content=bare)
        case _:
            return operation


def _is_created(state: StateStore, node_id: int) -> bool:
    return state.changes.nodes[node_id].is_created


def _kind_of(state: StateStore, node_id: int) -> int:
    record = state.tree.node(node_id)
    return record.kind if record is not None else NodeKind.REMOVED


def _head_of(state: StateStore, node_id: int) -> int:
    record = state.mirror.node(node_id)
    return record.revision if record is not None else 0


def _xattrs_of(state: StateStore, node_id: int) -> bytes:
    record = state.mirror.node(node_id)
    return b"" if record is None else record.xattrs


def _mtime_of(state: StateStore, node_id: int) -> int:
    record = state.mirror.node(node_id)
    return record.mtime_ns if record is not None else 0


def _conflict_of(state: StateStore, node_id: int) -> int:
    record = state.mirror.node(node_id)
    return record.conflict_of if record is not None else 0


def _vacated(state: StateStore, now_s: float) -> Iterator[LocalDentry]:
    """Yield lately removed names of files, to which an editor may be about to write anew."""
    for row in state.changes.dentries.values():
        is_vacated = row.expected and not row.node_id and row.at_s
        # Its kind last: it is looked up, and 12,000 removals were 0.2 s.
        if is_vacated and now_s < row.at_s + VACATED_S and _is_file(state, row.expected):
            yield row


def _is_file(state: StateStore, node_id: int) -> bool:
    return _kind_of(state, node_id) == NodeKind.FILE
