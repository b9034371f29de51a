"""What a log says of an operation that the server refused."""

from backend_server.protocol.commit_messages import CreateNode
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.tree_messages import NodeKind
from mountfs.sync.settle import RefusedNode

MADE = CreateNode(
    number=5, group=0, node_id=70, kind=NodeKind.FILE, parent=1, name=b"secret plan", mode=0o644,
    uid=7, gid=8, mtime_ns=-(1 << 63), ctime_ns=9, target=b"nowhere",
)  # fmt: skip


def test_of_a_refusal_that_a_person_can_cause_what_and_why() -> None:
    told = RefusedNode(70, ErrorCode.QUOTA_EXCEEDED, MADE).described()
    assert told == {"kind": "CreateNode", "code": "quota_exceeded", "node_id": 70}


def test_of_one_that_nobody_should_cause_its_numbers_but_no_name() -> None:
    told = RefusedNode(70, ErrorCode.MALFORMED, MADE).described()
    assert told["numbers"]["mtime_ns"] == -(1 << 63)  # type: ignore[index]
    assert "secret" not in str(told)
    assert "nowhere" not in str(told)
