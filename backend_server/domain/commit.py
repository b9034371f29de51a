"""What becomes of the operations of one commit. Pure.

Operations are decided in order, each on what those before it left; a group is made together or
not at all. Sequences have no gaps: only what is accepted takes one. The quota is judged by the
outcome of a group (or of an operation that has none): what grows must fit, what shrinks may.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import assert_never

from backend_server.domain.create_node import decide_create_node
from backend_server.domain.place_nodes import decide_place_nodes
from backend_server.domain.set_attributes import decide_set_attributes
from backend_server.domain.set_content import decide_set_content
from backend_server.domain.tree import Tree
from backend_server.domain.verdicts import Change, Content, Rejection, Verdict, refused
from backend_server.protocol.commit_messages import (
    CreateNode,
    Operation,
    OperationAnswer,
    Outcome,
    PlaceNodes,
    SetAttributes,
    SetContent,
)
from backend_server.protocol.errors import ErrorCode


@dataclass(frozen=True, slots=True)
class CommitPlan:
    """`answers`: one an operation, in order. `changes`: what was accepted, by sequence.

    The rows to store are the changed ones of the tree that was decided on.
    """

    answers: list[OperationAnswer] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


def decide_commit(
    tree: Tree,
    operations: Sequence[Operation],
    contents: Mapping[int, Content | Rejection],
    *,
    faults: Mapping[int, Rejection],
    now_ms: int,
) -> CommitPlan:
    """Decide `operations` on `tree`, which they change, and return the plan. Pure.

    Args:
        contents: By operation number, for each well-formed operation with content.
        faults: By operation number, what `find_fault` says of those that are not well-formed.
    """
    plan = CommitPlan()
    for unit in _units(operations):
        _decide_unit(tree, unit, contents, faults, plan, now_ms=now_ms)
    return plan


def _units(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    """Yield what is made together: groups, and operations that are in none."""
    for group, members in groupby(operations, key=lambda operation: operation.group):
        if group:
            yield list(members)
        else:
            for operation in members:
                yield [operation]


def _decide_unit(
    tree: Tree,
    unit: list[Operation],
    contents: Mapping[int, Content | Rejection],
    faults: Mapping[int, Rejection],
    plan: CommitPlan,
    *,
    now_ms: int,
) -> None:
    mark = tree.mark()
    changes: list[Change] = []
    first_beyond: int | None = None
    rejected: tuple[int, Rejection] | None = None
    for operation in unit:
        verdict: Verdict | None = faults.get(operation.number)
        if verdict is None:
            verdict = _decide_operation(tree, operation, contents, now_ms=now_ms)
        if isinstance(verdict, Rejection):
            rejected = (operation.number, verdict)
            break
        grown_bytes = tree.apply(verdict)
        changes.append(verdict)
        if first_beyond is None and grown_bytes > 0 and tree.quota.is_exceeded:
            first_beyond = operation.number
    has_grown = tree.quota.used > mark.used
    if rejected is None and first_beyond is not None and has_grown and tree.quota.is_exceeded:
        rejected = (first_beyond, refused(ErrorCode.QUOTA_EXCEEDED))
    if rejected is None:
        plan.changes.extend(changes)
        plan.answers.extend(
            OperationAnswer(operation.number, Outcome.APPLIED, change.sequence)
            for operation, change in zip(unit, changes, strict=True)
        )
        return
    tree.take_back(mark)
    culprit, rejection = rejected
    plan.answers.extend(
        _rejection_answer(operation.number, rejection)
        if operation.number == culprit
        else OperationAnswer(operation.number, Outcome.SKIPPED, because=culprit)
        for operation in unit
    )


def _decide_operation(
    tree: Tree,
    operation: Operation,
    contents: Mapping[int, Content | Rejection],
    *,
    now_ms: int,
) -> Verdict:
    sequence = tree.sequence + 1
    match operation:
        case CreateNode():
            content = None if operation.content is None else contents[operation.number]
            return decide_create_node(tree, operation, content, sequence=sequence, now_ms=now_ms)
        case PlaceNodes():
            return decide_place_nodes(tree, operation, sequence=sequence)
        case SetContent():
            return decide_set_content(
                tree, operation, contents[operation.number], sequence=sequence
            )
        case SetAttributes():
            return decide_set_attributes(tree, operation, sequence=sequence)
        case _:
            assert_never(operation)


def _rejection_answer(number: int, rejection: Rejection) -> OperationAnswer:
    return OperationAnswer(
        number, rejection.outcome, code=rejection.code, missing=list(rejection.missing)
    )
