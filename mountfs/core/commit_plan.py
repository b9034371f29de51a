"""From what was changed here to the operations of one commit batch.

What was changed is kept as states (dentries, nodes, contents that differ from the mirror), so
whatever cancels out is already gone. A plan puts the rest into an order that the server can follow
(a folder before what is in it, contents before the rename that shows them, a folder's entries
before its removal), groups what must be atomic, and leaves out what is not ready together with all
that needs it; nobody else waits.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from backend_server.protocol.commit_messages import (
    CreateNode,
    DentryChange,
    KnownHead,
    NewContent,
    Operation,
    PlaceNodes,
    SetAttributes,
    SetContent,
)
from backend_server.protocol.limits import COMMIT_INLINE_BYTES_MAX, COMMIT_OPERATIONS_MAX
from backend_server.protocol.tree_messages import NodeKind


class NodeChange(NamedTuple):
    """A node made here, or whose attributes were set here."""

    node_id: int
    kind: int
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    ctime_ns: int
    attributes_version: int
    target: bytes
    rdev: int
    is_created: bool
    touched: int
    xattrs: bytes = b""
    conflict_of: int = 0
    conflict_device: str = ""
    conflict_at_ns: int = 0


class DentryRow(NamedTuple):
    parent: int
    name: bytes
    node_id: int
    expected: int
    touched: int
    at_ns: int = 0
    """When a program did it, 0 if none did: the ctime of the nodes that it moves."""


class ReadyContent(NamedTuple):
    """Content that can be committed: its chunks are on the server, or ride inside."""

    node_id: int
    base_revision: int
    new_content: NewContent
    generation_ids: tuple[int, ...]
    mtime_ns: int
    ctime_ns: int
    touched: int
    merged_from: int = 0


@dataclass(frozen=True, slots=True)
class LocalState:
    """Everything that differs from the mirror, as facts."""

    nodes: Mapping[int, NodeChange]
    dentries: Sequence[DentryRow]
    contents: Mapping[int, ReadyContent]
    unready: Set[int]
    """Nodes with content that cannot be sent yet."""
    held: Set[int]
    """Nodes whose changes wait for something else: parked, or just vacated."""
    kind_of: Callable[[int], int] = field(repr=False)
    """Kind of any node (NodeKind), for folders that are removed."""
    head_of: Callable[[int], int] = field(repr=False)
    """The revision of a file that this device has seen; 0 for none, and for what is no file."""
    mtime_of: Callable[[int], int] = field(repr=False)
    xattrs_of: Callable[[int], bytes] = field(repr=False)
    """The mirror's."""
    """The mtime that the mirror has of a node, which was therefore not set here."""
    conflict_of: Callable[[int], int] = field(repr=False)
    """Of which node the mirror says that a node is a conflict copy; 0: of none."""


class PlannedOperation(NamedTuple):
    """An operation and what it settles when it is applied."""

    operation: Operation
    node_touched: int
    dentries_touched: tuple[int, ...]
    generation_ids: tuple[int, ...]


class _Unit:
    """Operations that go together."""

    __slots__ = ("creates", "is_blocked", "needs", "nodes", "rows", "touched")

    def __init__(self) -> None:
        self.rows: list[DentryRow] = []
        self.creates: list[int] = []
        self.nodes: set[int] = set()
        self.needs: set[int] = set()
        self.is_blocked = False
        self.touched = 0


def plan_commit(
    state: LocalState,
    *,
    first_number: int,
    operations_max: int = COMMIT_OPERATIONS_MAX,
    inline_bytes_max: int = COMMIT_INLINE_BYTES_MAX,
    is_one_placement: bool = False,
) -> list[PlannedOperation]:
    """Return the operations to send next, numbered from `first_number`. Pure.

    Args:
        is_one_placement: Put all renames and removals into one operation: for the rare knot of
            moves that no order of single ones can do.
    """
    planned, _ = fill_commit(
        state,
        first_number=first_number,
        operations_max=operations_max,
        inline_bytes_max=inline_bytes_max,
        is_one_placement=is_one_placement,
    )
    return planned


def fill_commit(
    state: LocalState,
    *,
    first_number: int,
    operations_max: int = COMMIT_OPERATIONS_MAX,
    inline_bytes_max: int = COMMIT_INLINE_BYTES_MAX,
    is_one_placement: bool = False,
) -> tuple[list[PlannedOperation], bool]:
    """Return as `plan_commit`, and whether more changed dentries would not fit. Pure."""
    units = _units(state, is_one_placement=is_one_placement)
    plan = _Plan(state, first_number, operations_max, inline_bytes_max)
    is_full = not all(plan.add(unit) for unit in _ordered(units))
    plan.add_contents_and_attributes()
    return plan.planned, is_full


def _units(state: LocalState, *, is_one_placement: bool) -> list[_Unit]:
    """Dentry rows joined by the nodes they move, with what each unit needs."""
    leader: dict[int, int] = {}

    def find(node: int) -> int:
        while leader.setdefault(node, node) != node:
            leader[node] = leader[leader[node]]
            node = leader[node]
        return node

    for row in state.dentries:
        touched_nodes = [node for node in (row.expected, row.node_id) if node]
        for node in touched_nodes[1:]:
            leader[find(node)] = find(touched_nodes[0])
    units: defaultdict[int, _Unit] = defaultdict(_Unit)
    for row in state.dentries:
        is_plain_create = not row.expected and _is_created(state, row.node_id)
        key = 0 if is_one_placement and not is_plain_create else find(row.node_id or row.expected)
        unit = units[key]
        unit.rows.append(row)
        unit.nodes |= {node for node in (row.expected, row.node_id) if node}
        unit.touched = max(unit.touched, row.touched)
    makers: dict[int, int] = {}
    removers: defaultdict[int, set[int]] = defaultdict(set)
    for key, unit in units.items():
        for row in unit.rows:
            if _is_created(state, row.node_id) and row.node_id not in unit.creates:
                unit.creates.append(row.node_id)
                makers[row.node_id] = key
            if row.expected:
                removers[row.parent].add(key)
            displaces = row.expected and row.node_id
            if row.node_id in state.unready and (displaces or _is_created(state, row.node_id)):
                unit.is_blocked = True
        if unit.nodes & state.held:
            unit.is_blocked = True
    for key, unit in units.items():
        for row in unit.rows:
            if row.parent in makers and makers[row.parent] != key:
                unit.needs.add(makers[row.parent])
            elif _is_created(state, row.parent) and row.parent not in makers:
                unit.is_blocked = True  # its folder was made here and has no name: never sent
        placed = {row.node_id for row in unit.rows}
        for row in unit.rows:
            gone = row.expected
            if gone and gone not in placed and state.kind_of(gone) == NodeKind.FOLDER:
                unit.needs |= removers[gone] - {key}
    return _linked(units)


def _linked(units: Mapping[int, _Unit]) -> list[_Unit]:
    """Order units so that each follows what it needs; block what needs something blocked.

    Stable: among free choices, what was touched first goes first. A circle of needs is cut where
    it is met; the server then refuses and the next plan is made with one placement.
    """
    ordered: list[_Unit] = []
    state: dict[int, int] = {}
    for start in sorted(units, key=lambda key: units[key].touched):
        stack = [start]
        while stack:
            key = stack[-1]
            unit = units[key]
            if state.get(key, 0) == 0:
                state[key] = 1
                stack.extend(
                    sorted(
                        (need for need in unit.needs if state.get(need, 0) == 0),
                        key=lambda need: units[need].touched,
                        reverse=True,
                    )
                )
            else:
                stack.pop()
                if state[key] == 1:
                    state[key] = 2
                    unit.is_blocked |= any(units[need].is_blocked for need in unit.needs)
                    ordered.append(unit)
    return ordered


def _ordered(units: Iterable[_Unit]) -> Iterable[_Unit]:
    return (unit for unit in units if not unit.is_blocked)


def _is_created(state: LocalState, node_id: int) -> bool:
    change = state.nodes.get(node_id)
    return change is not None and change.is_created


class _Plan:
    """Collects operations until a bound is met."""

    def __init__(
        self, state: LocalState, first_number: int, operations_max: int, inline_bytes_max: int
    ) -> None:
        self.planned: list[PlannedOperation] = []
        self._state = state
        self._first_number = first_number
        self._operations_left = operations_max
        self._inline_left = inline_bytes_max
        self._group = 0
        self._contents_sent: set[int] = set()

    def add(self, unit: _Unit) -> bool:
        """Add a unit; false when it does not fit any more."""
        state = self._state
        creating = {}
        for row in sorted(unit.rows, key=lambda row: row.touched):
            if row.node_id in unit.creates and row.node_id not in creating:
                creating[row.node_id] = row
        first_rows = set(creating.values())
        changes = [
            DentryChange(row.parent, row.name, row.expected, row.node_id, row.at_ns)
            for row in unit.rows
            if row not in first_rows and row.node_id not in creating
        ] + [
            DentryChange(row.parent, row.name, row.expected, 0)
            for row in first_rows
            if row.expected
        ]
        links = [row for row in unit.rows if row not in first_rows and row.node_id in creating]
        # A rename shows its file's content: what is ready of it goes before.
        contents = [
            state.contents[row.node_id]
            for row in unit.rows
            if row.node_id in state.contents
            and row.node_id not in creating
            and row.node_id not in self._contents_sent
            and row.expected
        ]
        operations = len(creating) + len(links) + bool(changes) + len(contents)
        inline = sum(
            inline_bytes(state.contents[node].new_content)
            for node in creating
            if node in state.contents
        ) + sum(inline_bytes(content.new_content) for content in contents)
        if operations > self._operations_left or inline > self._inline_left:
            return False
        is_group = operations > 1
        self._group += is_group
        group = self._group if is_group else 0
        for content in contents:
            self._set_content(content, group)
        if changes:
            touched = [
                row.touched
                for row in unit.rows
                if (row not in first_rows and row.node_id not in creating)
                or (row in first_rows and row.expected)
            ]
            placement = PlaceNodes(self._number(), group, changes, 0, self._heads(changes))
            self._put(placement, 0, touched, ())
        for node_id, row in creating.items():
            self._create(state.nodes[node_id], row, group)
        for row in links:
            change = DentryChange(row.parent, row.name, row.expected, row.node_id, row.at_ns)
            placement = PlaceNodes(self._number(), group, [change], 0)
            self._put(placement, 0, [row.touched], ())
        self._inline_left -= inline
        return True

    def add_contents_and_attributes(self) -> None:
        """Add what needs no dentry, as far as it fits."""
        state = self._state
        for content in sorted(state.contents.values(), key=lambda content: content.touched):
            node_id = content.node_id
            if (
                node_id in self._contents_sent
                or node_id in state.held
                or _is_created(state, node_id)
            ):
                continue
            inline = inline_bytes(content.new_content)
            if self._operations_left and inline <= self._inline_left:
                self._set_content(content, 0)
                self._inline_left -= inline
        for node in sorted(state.nodes.values(), key=lambda node: node.touched):
            if node.is_created or node.node_id in state.held or not self._operations_left:
                continue
            if node.node_id in state.unready:
                continue  # the content's times come with the content
            # Written after its attributes were set: the later times are the content's.
            times = state.contents.get(node.node_id, node)
            is_marked_anew = node.conflict_of != state.conflict_of(node.node_id)
            self._put(
                SetAttributes(
                    self._number(), 0, node.node_id, node.attributes_version, node.mode,
                    node.uid, node.gid, times.mtime_ns, times.ctime_ns,
                    node.xattrs if node.xattrs != state.xattrs_of(node.node_id) else None,
                    times.mtime_ns != state.mtime_of(node.node_id),
                    node.conflict_of if is_marked_anew else None,
                    node.conflict_device, node.conflict_at_ns,
                ),
                node.touched, (), (),
            )  # fmt: skip

    def _heads(self, changes: Sequence[DentryChange]) -> list[KnownHead]:
        """What was seen of the files that the changes take a name from."""
        taken = {change.expected for change in changes} - {change.node_id for change in changes}
        return [
            KnownHead(node_id, head)
            for node_id in sorted(taken)
            if node_id and (head := self._state.head_of(node_id))
        ]

    def _create(self, node: NodeChange, row: DentryRow, group: int) -> None:
        content = self._state.contents.get(node.node_id)
        mtime_ns, ctime_ns = node.mtime_ns, node.ctime_ns
        if content is not None:
            mtime_ns, ctime_ns = content.mtime_ns, content.ctime_ns
            self._contents_sent.add(node.node_id)
        ctime_ns = max(ctime_ns, row.at_ns)
        self._put(
            CreateNode(
                self._number(), group, row.parent, row.name, node.node_id, NodeKind(node.kind),
                node.mode, node.uid, node.gid, mtime_ns, ctime_ns, node.target, node.rdev,
                content.new_content if content is not None else None, node.xattrs,
                node.conflict_of, node.conflict_device, node.conflict_at_ns,
            ),
            node.touched,
            [row.touched],
            content.generation_ids if content is not None else (),
        )  # fmt: skip

    def _set_content(self, content: ReadyContent, group: int) -> None:
        self._contents_sent.add(content.node_id)
        operation = SetContent(
            self._number(), group, content.node_id, content.base_revision, content.new_content,
            content.mtime_ns, content.ctime_ns, content.merged_from,
        )  # fmt: skip
        self._put(operation, 0, (), content.generation_ids)

    def _number(self) -> int:
        return self._first_number + len(self.planned)

    def _put(
        self,
        operation: Operation,
        node_touched: int,
        dentries_touched: Iterable[int],
        generation_ids: tuple[int, ...],
    ) -> None:
        self.planned.append(
            PlannedOperation(operation, node_touched, tuple(dentries_touched), generation_ids)
        )
        self._operations_left -= 1


def inline_bytes(content: NewContent) -> int:
    """Return how many bytes of blocks ride in the commit. Pure."""
    return sum(len(block.block) for block in content.inline)
