"""Each decision about one operation, as a table."""

from dataclasses import dataclass

import msgspec
import pytest

from backend_server.domain.create_node import decide_create_node
from backend_server.domain.operation_shape import PLACE_CHANGES_MAX, find_fault
from backend_server.domain.place_nodes import decide_place_nodes
from backend_server.domain.set_attributes import decide_set_attributes
from backend_server.domain.set_content import decide_set_content
from backend_server.domain.tree import Quota, Tree
from backend_server.domain.verdicts import (
    MANIFEST_MISSING,
    STALE,
    Change,
    Content,
    NodeRecord,
    Rejection,
    Verdict,
    refused,
)
from backend_server.protocol.commit_messages import (
    CreateNode,
    DentryChange,
    KnownHead,
    NewContent,
    Operation,
    PlaceNodes,
)
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import ManifestId
from backend_server.protocol.tree_messages import DentryState, NodeKind
from drive_kit import create, folder, inline_content, place, set_attributes, set_content

NEXT = 100
ROOT = 1
# Ids that a client may choose begin behind the reserved ones.
A, B, FILE, LINKED, GONE, LINK, UNKNOWN = range(70_000, 70_007)
CONTENT = Content(ManifestId(b"m" * 32), 10, 10, b"")


def node(node_id: int, kind: NodeKind, sequence: int) -> NodeRecord:
    charged = 5 if kind is NodeKind.FILE else 0
    return NodeRecord(
        node_id, sequence, kind, 0o644, 0, 0, 10, 10, sequence, charged, sequence, b"", b"", b"",
        0, charged, 0,
    )  # fmt: skip


def tree() -> Tree:
    """/a (folder), /a/b (folder), /a/b/file, /x and /a/x (one node), /link; GONE was removed."""
    dentries = {
        (ROOT, b"a"): A,
        (A, b"b"): B,
        (B, b"file"): FILE,
        (ROOT, b"x"): LINKED,
        (A, b"x"): LINKED,
        (ROOT, b"link"): LINK,
        (ROOT, b"gone"): 0,
    }
    kinds = {
        ROOT: NodeKind.FOLDER,
        A: NodeKind.FOLDER,
        B: NodeKind.FOLDER,
        FILE: NodeKind.FILE,
        LINKED: NodeKind.FILE,
        GONE: NodeKind.REMOVED,
        LINK: NodeKind.SYMLINK,
    }
    made = Tree(NEXT - 1, Quota(1000, 10, 0))
    made.nodes = {node_id: node(node_id, kind, 7) for node_id, kind in kinds.items()}
    made.dentries = {key: DentryState(*key, target, 7) for key, target in dentries.items()}
    made.links = {
        node_id: {key: None for key, target in dentries.items() if target == node_id}
        for node_id in kinds
    }
    made.child_counts = {
        folder_id: sum(key[0] == folder_id and target != 0 for key, target in dentries.items())
        for folder_id in (ROOT, A, B)
    }
    return made


@dataclass(frozen=True)
class Case:
    name: str
    operation: PlaceNodes
    expected: Rejection | None


PLACES = [
    Case("remove a file", place((B, b"file", FILE, 0)), None),
    Case("remove one of two links", place((A, b"x", LINKED, 0)), None),
    Case("remove both links", place((A, b"x", LINKED, 0), (ROOT, b"x", LINKED, 0)), None),
    Case("link a file again", place((B, b"also", 0, FILE)), None),
    Case("rename", place((B, b"file", FILE, 0), (B, b"new", 0, FILE)), None),
    Case("rename over", place((B, b"file", FILE, 0), (ROOT, b"link", LINK, FILE)), None),
    Case("exchange", place((B, b"file", FILE, LINK), (ROOT, b"link", LINK, FILE)), None),
    Case("exchange folders", place((ROOT, b"a", A, LINK), (ROOT, b"link", LINK, A)), None),
    Case("move a folder up", place((A, b"b", B, 0), (ROOT, b"b", 0, B)), None),
    Case("what is already so", place((ROOT, b"a", A, A), (UNKNOWN, b"n", 0, 0)), None),
    Case(
        "turn a cycle of names",
        place((ROOT, b"a", A, LINKED), (ROOT, b"x", LINKED, LINK), (ROOT, b"link", LINK, A)),
        None,
    ),
    Case(
        "remove a folder with all it holds",
        place((A, b"b", B, 0), (B, b"file", FILE, 0)),
        None,
    ),
    Case("expected another node", place((B, b"file", LINK, 0)), STALE),
    Case("expected nothing", place((B, b"file", 0, LINK)), STALE),
    Case("expected what is gone", place((ROOT, b"gone", GONE, 0)), STALE),
    Case("place a removed node", place((ROOT, b"new", 0, GONE)), STALE),
    Case("place an unknown node", place((ROOT, b"n", 0, UNKNOWN)), refused(ErrorCode.NOT_FOUND)),
    Case("into a removed folder", place((GONE, b"n", 0, FILE)), refused(ErrorCode.PARENT_GONE)),
    Case("into no folder", place((UNKNOWN, b"n", 0, FILE)), refused(ErrorCode.PARENT_GONE)),
    Case("into a file", place((FILE, b"n", 0, LINK)), refused(ErrorCode.NOT_A_FOLDER)),
    Case("a folder twice", place((ROOT, b"n", 0, A)), refused(ErrorCode.FOLDER_LINK)),
    Case("the root", place((A, b"n", 0, ROOT)), refused(ErrorCode.FOLDER_LINK)),
    Case(
        "remove a folder that is not empty",
        place((A, b"b", B, 0)),
        refused(ErrorCode.FOLDER_NOT_EMPTY),
    ),
    Case(
        "fill a folder while removing it",
        place((A, b"b", B, 0), (B, b"file", FILE, LINK)),
        refused(ErrorCode.FOLDER_NOT_EMPTY),
    ),
    Case(
        "a folder into its child",
        place((ROOT, b"a", A, 0), (B, b"a", 0, A)),
        refused(ErrorCode.FOLDER_CYCLE),
    ),
    Case(
        "exchange a folder with its child",
        place((ROOT, b"a", A, B), (A, b"b", B, A)),
        refused(ErrorCode.FOLDER_CYCLE),
    ),
]


@pytest.mark.parametrize("case", PLACES, ids=lambda case: case.name)
def test_place(case: Case) -> None:
    verdict = decide_place_nodes(tree(), case.operation, sequence=NEXT)
    if case.expected is None:
        assert isinstance(verdict, Change), verdict
    else:
        assert verdict == case.expected


def test_a_node_without_dentries_becomes_a_tombstone_and_is_charged_no_more() -> None:
    now = tree()
    verdict = decide_place_nodes(now, place((B, b"file", FILE, 0)), sequence=NEXT)
    assert isinstance(verdict, Change)
    assert now.apply(verdict) == -5
    assert now.nodes[FILE].kind is NodeKind.REMOVED
    assert now.nodes[FILE].revision == 7
    assert now.dentries[B, b"file"] == DentryState(B, b"file", 0, NEXT)
    assert {each.node_id for each in now.changed_nodes()} == {FILE}
    assert now.child_counts[B] == 0


@pytest.mark.parametrize(
    ("changes", "seen", "is_stale"),
    [
        ([(B, b"file", FILE, 0)], {FILE: 7}, False),
        ([(B, b"file", FILE, 0)], {FILE: 6}, True),
        ([(B, b"file", FILE, 0)], {}, False),
        # It goes nowhere, so nobody's edit is lost.
        ([(B, b"file", FILE, 0), (B, b"new", 0, FILE)], {FILE: 6}, False),
        ([(A, b"x", LINKED, 0)], {LINKED: 6}, False),
        ([(A, b"x", LINKED, 0), (ROOT, b"x", LINKED, 0)], {LINKED: 6}, True),
        ([(B, b"file", FILE, 0), (ROOT, b"x", LINKED, FILE)], {LINKED: 6}, False),
        ([(B, b"file", FILE, 0), (ROOT, b"link", LINK, FILE)], {LINK: 6}, True),
        ([(B, b"file", FILE, 0)], {UNKNOWN: 6}, False),
    ],
)
def test_removing_never_beats_an_edit_that_was_not_seen(
    changes: list[tuple[int, bytes, int, int]], seen: dict[int, int], is_stale: bool
) -> None:
    heads = [KnownHead(node_id, revision) for node_id, revision in seen.items()]
    operation = msgspec.structs.replace(place(*changes), heads=heads)
    verdict = decide_place_nodes(tree(), operation, sequence=NEXT)
    assert (verdict == STALE) == is_stale


def test_placing_moves_a_node_s_ctime_forward_only_and_leaves_folders_alone() -> None:
    for ctime_ns, moved in ((11, {FILE}), (10, set())):
        operation = place((B, b"file", FILE, 0), (ROOT, b"f", 0, FILE), ctime_ns=ctime_ns)
        verdict = decide_place_nodes(tree(), operation, sequence=NEXT)
        assert isinstance(verdict, Change)
        assert {each.node_id for each in verdict.nodes} == moved
        for each in verdict.nodes:
            assert (each.ctime_ns, each.attributes_version, each.mtime_ns) == (11, 7, 10)


def test_each_placed_node_takes_the_time_of_its_own_change() -> None:
    changes = [DentryChange(B, b"file", FILE, 0), DentryChange(ROOT, b"f", 0, FILE, 12)]
    operation = PlaceNodes(0, 0, changes, 99)
    verdict = decide_place_nodes(tree(), operation, sequence=NEXT)
    assert isinstance(verdict, Change)
    assert [(each.node_id, each.ctime_ns) for each in verdict.nodes] == [(FILE, 12)]


CREATES: list[tuple[str, CreateNode, Verdict | None]] = [
    ("a file", create(ROOT, b"new", UNKNOWN), None),
    ("a name that was removed", create(ROOT, b"gone", UNKNOWN), None),
    ("the dentry is there", create(ROOT, b"a", UNKNOWN), STALE),
    ("an id that is there", create(ROOT, b"new", FILE), refused(ErrorCode.NODE_ID_TAKEN)),
    ("an id that was there", create(ROOT, b"new", GONE), refused(ErrorCode.NODE_ID_TAKEN)),
    ("in a file", create(FILE, b"new", UNKNOWN), refused(ErrorCode.NOT_A_FOLDER)),
    ("in a removed folder", create(GONE, b"new", UNKNOWN), refused(ErrorCode.PARENT_GONE)),
    ("in no folder", create(UNKNOWN, b"new", UNKNOWN), refused(ErrorCode.PARENT_GONE)),
]


@pytest.mark.parametrize(
    ("name", "operation", "expected"), CREATES, ids=lambda each: str(each)[:20]
)
def test_create(name: str, operation: CreateNode, expected: Verdict | None) -> None:
    verdict = decide_create_node(tree(), operation, CONTENT, sequence=NEXT, now_ms=3)
    if expected is not None:
        assert verdict == expected
        return
    assert isinstance(verdict, Change)
    made = verdict.nodes[0]
    assert (made.sequence, made.revision, made.attributes_version) == (NEXT, NEXT, NEXT)
    assert (made.size_bytes, made.charged_bytes, made.created_at_ms) == (10, 10, 3)


def test_a_file_made_without_content_has_no_revision() -> None:
    verdict = decide_create_node(tree(), create(ROOT, b"n", UNKNOWN), None, sequence=NEXT, now_ms=0)
    assert isinstance(verdict, Change)
    assert verdict.nodes[0].revision == 0


@pytest.mark.parametrize(
    ("node_id", "base", "content", "expected"),
    [
        (FILE, 7, CONTENT, None),
        (FILE, 6, CONTENT, STALE),
        (FILE, 6, MANIFEST_MISSING, STALE),
        (FILE, 7, MANIFEST_MISSING, MANIFEST_MISSING),
        (GONE, 7, CONTENT, STALE),
        (UNKNOWN, 7, CONTENT, refused(ErrorCode.NOT_FOUND)),
        (A, 7, CONTENT, refused(ErrorCode.MALFORMED)),
    ],
)
def test_set_content(
    node_id: int, base: int, content: Content | Rejection, expected: Rejection | None
) -> None:
    operation = set_content(node_id, base, inline_content(b"any"))
    verdict = decide_set_content(tree(), operation, content, sequence=NEXT)
    if expected is not None:
        assert verdict == expected
        return
    assert isinstance(verdict, Change)
    (head,) = verdict.nodes
    assert (head.revision, head.attributes_version, head.size_bytes) == (NEXT, 7, 10)


@pytest.mark.parametrize(
    ("node_id", "base", "expected"),
    [
        (FILE, 7, None),
        (A, 7, None),
        (LINK, 7, None),
        (FILE, 6, STALE),
        (GONE, 7, STALE),
        (UNKNOWN, 7, refused(ErrorCode.NOT_FOUND)),
    ],
)
def test_set_attributes(node_id: int, base: int, expected: Rejection | None) -> None:
    verdict = decide_set_attributes(tree(), set_attributes(node_id, base), sequence=NEXT)
    if expected is not None:
        assert verdict == expected
        return
    assert isinstance(verdict, Change)
    (changed,) = verdict.nodes
    assert (changed.attributes_version, changed.revision, changed.mode) == (NEXT, 7, 0o600)


def changed(operation: Operation, **fields: object) -> Operation:
    return msgspec.structs.replace(operation, **fields)


NEW_FILE = create(ROOT, b"n", UNKNOWN)
FAULTS: list[tuple[Operation, ErrorCode | None]] = [
    (NEW_FILE, None),
    (changed(NEW_FILE, name=b"x" * 255), None),
    (changed(NEW_FILE, name=b"x" * 256), ErrorCode.NAME_INVALID),
    (changed(NEW_FILE, name=b".."), ErrorCode.NAME_INVALID),
    (changed(NEW_FILE, name=b"a/b"), ErrorCode.NAME_INVALID),
    (changed(NEW_FILE, node_id=2), ErrorCode.MALFORMED),
    (changed(NEW_FILE, node_id=1 << 63), ErrorCode.MALFORMED),
    (changed(NEW_FILE, parent=0), ErrorCode.MALFORMED),
    (changed(NEW_FILE, kind=NodeKind.REMOVED), ErrorCode.MALFORMED),
    (changed(NEW_FILE, mode=0o10000), ErrorCode.MALFORMED),
    (changed(NEW_FILE, uid=1 << 32), ErrorCode.MALFORMED),
    (changed(NEW_FILE, mtime_ns=1 << 63), ErrorCode.MALFORMED),
    (changed(NEW_FILE, ctime_ns=-(1 << 63)), ErrorCode.MALFORMED),
    (changed(NEW_FILE, target=b"x"), ErrorCode.MALFORMED),
    (changed(NEW_FILE, rdev=5), ErrorCode.MALFORMED),
    (changed(NEW_FILE, kind=NodeKind.BLOCK_DEVICE, rdev=5), None),
    (changed(NEW_FILE, kind=NodeKind.SYMLINK), ErrorCode.MALFORMED),
    (changed(NEW_FILE, kind=NodeKind.SYMLINK, target=b"t"), None),
    (changed(NEW_FILE, kind=NodeKind.SYMLINK, target=b"t" * 4096), ErrorCode.MALFORMED),
    (changed(folder(ROOT, b"n", UNKNOWN), content=inline_content(b"x")), ErrorCode.MALFORMED),
    (changed(NEW_FILE, content=NewContent(b"short id", 1)), ErrorCode.MALFORMED),
    (place(), ErrorCode.MALFORMED),
    (place((ROOT, b"a", A, 0), (ROOT, b"a", A, B)), ErrorCode.MALFORMED),
    (place((ROOT, b"", 0, A)), ErrorCode.NAME_INVALID),
    (place((ROOT, b"a", -1, A)), ErrorCode.MALFORMED),
    (place(*((ROOT, b"%d" % n, 0, A) for n in range(PLACE_CHANGES_MAX + 1))), ErrorCode.MALFORMED),
    (set_content(0, 0, inline_content(b"x")), ErrorCode.MALFORMED),
    (set_content(FILE, -1, inline_content(b"x")), ErrorCode.MALFORMED),
    (set_attributes(FILE, 1 << 63), ErrorCode.MALFORMED),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "code"), FAULTS)
def test_what_can_never_be_made(operation: Operation, code: ErrorCode | None) -> None:
    assert find_fault(operation) == (None if code is None else refused(code))


@pytest.mark.parametrize(("is_set", "mtime_ns"), [(True, 40), (False, 10)])
def test_a_time_that_was_not_set_stays(is_set: bool, mtime_ns: int) -> None:
    operation = msgspec.structs.replace(set_attributes(FILE, 7), is_mtime_set=is_set)
    verdict = decide_set_attributes(tree(), operation, sequence=NEXT)
    assert isinstance(verdict, Change)
    assert verdict.nodes[0].mtime_ns == mtime_ns


def test_a_conflict_is_marked_left_alone_and_settled() -> None:
    made = tree()
    for conflict_of, device, found in [(A, "laptop", A), (None, "", A), (0, "", 0)]:
        operation = msgspec.structs.replace(
            set_attributes(FILE, made.nodes[FILE].attributes_version),
            conflict_of=conflict_of, conflict_device=device,
        )  # fmt: skip
        verdict = decide_set_attributes(made, operation, sequence=made.sequence + 1)
        assert isinstance(verdict, Change)
        made.apply(verdict)
        assert made.nodes[FILE].conflict_of == found
        assert bool(made.nodes[FILE].conflict_device) == bool(found)
