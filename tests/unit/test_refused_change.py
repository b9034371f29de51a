"""What the log says of a change that the server refused."""

from pathlib import Path

import pytest

from backend_server.protocol.commit_messages import (
    CreateNode,
    DentryChange,
    NewContent,
    Operation,
    OperationAnswer,
    Outcome,
    PlaceNodes,
    SetAttributes,
    SetContent,
)
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import DriveId
from backend_server.protocol.tree_messages import NodeKind
from mountfs.core.refused_change import RefusedChange, facts_of
from mountfs.state.batches import SentOperation
from mountfs.state.store import StateStore
from mountfs.sync.settle import Settlement

CONTENT = NewContent(b"secret" * 5 + b"..", 12, entries=b"secret")
CREATE = CreateNode(
    7, 0, 1, b"secret", 50, NodeKind.SYMLINK, 0o777, 3, 4, 5, 6,
    target=b"secret", rdev=9, content=CONTENT, xattrs=b"secret", conflict_device="secret",
)  # fmt: skip
PLACE = PlaceNodes(
    8, 0, [DentryChange(1, b"secret", 0, 49), DentryChange(2, b"secret", 50, 0, 11)], ctime_ns=6
)
SET_CONTENT = SetContent(9, 0, 50, 8, CONTENT, 5, -6)
SET_ATTRIBUTES = SetAttributes(10, 2, 50, 4, 0o1_0644, 3, 1 << 40, 5, 6, xattrs=b"secret")

OPERATIONS = {
    "create": CREATE,
    "place": PLACE,
    "set_content": SET_CONTENT,
    "set_attributes": SET_ATTRIBUTES,
}


@pytest.mark.parametrize(("word", "operation"), OPERATIONS.items(), ids=OPERATIONS)
def test_what_it_was_is_named(word: str, operation: Operation) -> None:
    refused = RefusedChange(50, ErrorCode.FORBIDDEN, operation)
    assert facts_of(refused) == {"operation": word, "node_id": 50, "code": "forbidden"}


@pytest.mark.parametrize("code", [ErrorCode.MALFORMED, ErrorCode.INTERNAL])
@pytest.mark.parametrize(
    ("operation", "numbers"),
    [
        (
            CREATE,
            {
                "kind": NodeKind.SYMLINK, "mode": 0o777, "uid": 3, "gid": 4, "mtime_ns": 5,
                "ctime_ns": 6, "rdev": 9, "size_bytes": 12, "name_bytes": 6, "target_bytes": 6,
                "xattrs_bytes": 6, "entries_bytes": 6, "parent": 1, "inline_count": 0,
            },
        ),
        (
            PLACE,
            {
                "ctime_ns": 6, "changes_count": 2, "change_parent": 2, "change_expected": 50,
                "change_node_id": 0, "change_ctime_ns": 11, "change_name_bytes": 6,
            },
        ),
        (SET_CONTENT, {"base_revision": 8, "mtime_ns": 5, "ctime_ns": -6, "size_bytes": 12}),
        (SET_ATTRIBUTES, {"mode": 0o1_0644, "gid": 1 << 40, "base_version": 4, "group": 2}),
    ],
    ids=OPERATIONS,
)  # fmt: skip
def test_of_a_bug_all_numbers_are_told_and_no_content(
    code: ErrorCode, operation: Operation, numbers: dict[str, int]
) -> None:
    facts = facts_of(RefusedChange(50, code, operation))
    assert facts.items() >= (numbers | {"node_id": 50, "code": code}).items()
    assert "secret" not in str(facts)


def test_what_is_parked_is_kept_with_its_operation(tmp_path: Path) -> None:
    state = StateStore.open(tmp_path, DriveId("0" * 16))
    settlement = Settlement(state)
    refusal = OperationAnswer(10, Outcome.REFUSED, code=ErrorCode.MALFORMED)
    settlement.run([SentOperation(SET_ATTRIBUTES)], {10: refusal})
    assert settlement.parked == [RefusedChange(50, ErrorCode.MALFORMED, SET_ATTRIBUTES)]
    state.close()
