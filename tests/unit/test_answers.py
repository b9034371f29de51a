"""What no server can mean is refused before anything is done with it."""

from collections.abc import Callable

import pytest

from backend_server.protocol.answers import check_lost_blocks, check_page
from backend_server.protocol.encoding import MessageMalformed
from backend_server.protocol.extended_attributes import pack_xattrs
from backend_server.protocol.transfer_messages import LostBlock, LostBlocksPage
from backend_server.protocol.tree_messages import ChangesPage, NodeKind, NodeState, QuotaState

CHUNK = b"c" * 32


def page_with(**fields: object) -> ChangesPage:
    node = NodeState(9, 1, NodeKind.FILE, **fields)  # type: ignore[arg-type]
    return ChangesPage("cursor", 1, False, [node], [], 0, QuotaState(1, 0, 0))


def test_attributes_and_marks_of_conflicts_are_taken() -> None:
    check_page(
        page_with(
            xattrs=pack_xattrs({b"user.a": b"1"}),
            conflict_of=8,
            conflict_device="Ada's laptop",
            conflict_at_ns=-1,
        )
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"xattrs": b"x"},
        {"xattrs": pack_xattrs({b"security.capability": b"1"})},
        {"xattrs": pack_xattrs({b"user.": b"1"})},
        {"xattrs": pack_xattrs({b"user.a": bytes(4000)}) + bytes(200)},
        {"conflict_of": -1},
        {"conflict_of": 1 << 63},
        {"conflict_device": "\x1b[2J"},
        {"conflict_device": "d" * 256},
        {"conflict_at_ns": 1 << 63},
    ],
)
def test_fields_that_cannot_be(fields: dict[str, object]) -> None:
    with pytest.raises(MessageMalformed):
        check_page(page_with(**fields))


def lost(count: int = 1, **fields: object) -> Callable[[], LostBlocksPage]:
    block = {"node_id": 9, "revision": 1, "chunk_id": CHUNK, "length": 5} | fields
    return lambda: LostBlocksPage([LostBlock(**block)] * count)  # type: ignore[arg-type]


def test_lost_blocks_are_taken() -> None:
    check_lost_blocks(lost(1000)())


@pytest.mark.parametrize(
    "make",
    [
        lost(1001),
        lost(node_id=0),
        lost(revision=-1),
        lost(chunk_id=b"short"),
        lost(length=0),
        lost(length=1 << 40),
        lambda: LostBlocksPage([], "a" * 5000),
    ],
)
def test_lost_blocks_that_cannot_be(make: Callable[[], LostBlocksPage]) -> None:
    with pytest.raises(MessageMalformed):
        check_lost_blocks(make())
