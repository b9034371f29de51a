"""Cursors, pages and polls."""

import base64
from collections.abc import Callable

import pytest
import trio
import trio.testing

from backend_server.domain.cursors import Cursor, CursorInvalid, open_cursor, seal_cursor
from backend_server.domain.feed_page import PageCut, decide_page_cut
from backend_server.domain.refusals import Refusal
from backend_server.metadata.tables import drives
from backend_server.notify.change_hub import ChangeHub, HubFull
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import DriveId, Sequence
from backend_server.protocol.tree_messages import NodeKind, PollAnswer, PollRequest
from drive_kit import (
    CURSOR_KEY,
    DRIVE,
    EPOCH,
    FIRST_NODE,
    OTHER_DEVICE,
    OWNER,
    STRANGER,
    create,
    folder,
    open_drive,
    place,
)

OTHER_DRIVE = DriveId("00000000000000d2")
OTHER_EPOCH = "00000000000000e2"
CURSOR = Cursor(Sequence(7), Sequence(3))


def seal(cursor: Cursor, *, drive_id: DriveId = DRIVE, epoch: str = EPOCH) -> str:
    return seal_cursor(cursor, key=CURSOR_KEY, drive_id=drive_id, epoch=epoch)


def flipped(token: str) -> str:
    data = bytearray(base64.urlsafe_b64decode(token))
    data[20] ^= 1
    return base64.urlsafe_b64encode(data).decode()


def test_a_cursor_comes_back() -> None:
    token = seal(CURSOR)
    assert open_cursor(token, key=CURSOR_KEY, drive_id=DRIVE, epoch=EPOCH) == CURSOR


@pytest.mark.parametrize(
    "token",
    [
        "",
        "ü" * 64,
        "!" * 64,
        "A" * 64,
        seal(CURSOR)[:-1],
        seal(CURSOR) + "A",
        flipped(seal(CURSOR)),
        seal(CURSOR, drive_id=OTHER_DRIVE),
        seal(CURSOR, epoch=OTHER_EPOCH),
        seal_cursor(CURSOR, key=b"o" * 32, drive_id=DRIVE, epoch=EPOCH),
    ],
)
async def test_what_is_no_cursor_of_this_drive_resets(token: str) -> None:
    with pytest.raises(CursorInvalid):
        open_cursor(token, key=CURSOR_KEY, drive_id=DRIVE, epoch=EPOCH)
    kit = await open_drive()
    for load in (kit.load_changes, kit.load_snapshot_page):
        with pytest.raises(Refusal) as caught:
            await load(OWNER, DRIVE, token)
        assert caught.value.code == ErrorCode.CURSOR_RESET
    assert await kit.poll_changes(OWNER, PollRequest({DRIVE: token}), 0) == PollAnswer([DRIVE])


async def test_a_cursor_ahead_of_a_drive_that_was_restored_resets() -> None:
    kit = await open_drive()
    with pytest.raises(Refusal) as caught:
        await kit.load_changes(OWNER, DRIVE, seal(Cursor(Sequence(2))))
    assert caught.value.code == ErrorCode.CURSOR_RESET


@pytest.mark.parametrize(
    ("nodes", "dentries", "rows_max", "expected"),
    [
        ([], [], 3, PageCut(9, has_more=False)),
        ([1, 2], [2], 3, PageCut(9, has_more=False)),
        ([1, 2, 3], [2], 3, PageCut(2, has_more=True)),
        ([1, 2], [2, 2], 3, PageCut(1, has_more=True)),
        ([1, 3, 5, 7], [2, 4, 6, 8], 3, PageCut(3, has_more=True)),
    ],
)
def test_where_a_page_ends(
    nodes: list[int], dentries: list[int], rows_max: int, expected: PageCut
) -> None:
    assert decide_page_cut(nodes, dentries, head_sequence=9, rows_max=rows_max) == expected


async def test_a_snapshot_carries_no_tombstones_and_changes_do() -> None:
    kit = await open_drive()
    (start,) = await kit.snapshot()
    assert [(node.node_id, node.kind, node.mode) for node in start.nodes] == [
        (1, NodeKind.FOLDER, 0o755)
    ]
    await kit.commit(folder(1, b"f", FIRST_NODE), create(FIRST_NODE, b"x", FIRST_NODE + 1))
    await kit.commit(place((FIRST_NODE, b"x", FIRST_NODE + 1, 0)))
    (snapshot,) = await kit.snapshot()
    assert {node.node_id for node in snapshot.nodes} == {1, FIRST_NODE}
    assert [dentry.name for dentry in snapshot.dentries] == [b"f"]
    (changes,) = await kit.changes(start.cursor)
    assert {(node.node_id, node.kind) for node in changes.nodes} == {
        (FIRST_NODE, NodeKind.FOLDER),
        (FIRST_NODE + 1, NodeKind.REMOVED),
    }
    assert {(dentry.name, dentry.node_id) for dentry in changes.dentries} == {
        (b"f", FIRST_NODE),
        (b"x", 0),
    }
    assert changes.consistent_at == snapshot.consistent_at == 4
    (nothing,) = await kit.changes(changes.cursor)
    assert (nothing.nodes, nothing.dentries, nothing.cursor) == ([], [], changes.cursor)


async def test_the_feed_is_for_members() -> None:
    kit = await open_drive()
    (start,) = await kit.snapshot()
    loads: list[Callable[..., object]] = [kit.load_changes, kit.load_snapshot_page]
    for load in loads:
        with pytest.raises(Refusal) as caught:
            await load(STRANGER, DRIVE, start.cursor)  # type: ignore[misc]
        assert caught.value.code == ErrorCode.NOT_FOUND
    poll = PollRequest({DRIVE: start.cursor})
    assert await kit.poll_changes(STRANGER, poll, 0) == PollAnswer([DRIVE])


# Polls -----------------------------------------------------------------------------------------


async def test_a_quiet_poll_ends_empty_after_its_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    kit = await open_drive()
    (start,) = await kit.snapshot()
    began = trio.current_time()
    answer = await kit.poll_changes(OWNER, PollRequest({DRIVE: start.cursor}), 55)
    assert answer == PollAnswer([])
    assert trio.current_time() - began == pytest.approx(55)
    assert kit.hub.watcher_count == 0


async def test_a_poll_that_is_behind_is_answered_at_once() -> None:
    kit = await open_drive()
    (start,) = await kit.snapshot()
    await kit.commit(create(1, b"f", FIRST_NODE))
    answer = await kit.poll_changes(OWNER, PollRequest({DRIVE: start.cursor}), 1e9)
    assert answer == PollAnswer([DRIVE])


async def test_a_commit_wakes_the_polls_of_its_drive(
    autojump_clock: trio.testing.MockClock,
) -> None:
    kit = await open_drive()
    (start,) = await kit.snapshot()
    answers: list[PollAnswer] = []

    async def poll() -> None:
        request = PollRequest({DRIVE: start.cursor})
        answers.append(await kit.poll_changes(OTHER_DEVICE, request, 1e9))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(poll)
        await trio.testing.wait_all_tasks_blocked()
        assert kit.hub.watcher_count == 3
        await kit.commit(create(1, b"f", FIRST_NODE))
    assert answers == [PollAnswer([DRIVE])] * 3


async def test_a_commit_between_registering_and_looking_is_not_lost() -> None:
    """The wake-up comes while the poll looks at a head that is already old."""
    hub = ChangeHub()
    with hub.watch([DRIVE]) as watch:
        hub.publish(DRIVE, Sequence(2))
        await watch.wait()


async def test_a_commit_that_changes_nothing_wakes_nobody() -> None:
    kit = await open_drive()
    with kit.hub.watch([DRIVE]) as watch:
        await kit.commit(create(99, b"f", FIRST_NODE))
        with trio.move_on_after(0) as scope:
            await watch.wait()
        assert scope.cancelled_caught


async def test_a_server_that_goes_down_lets_its_polls_go() -> None:
    kit = await open_drive()
    (start,) = await kit.snapshot()
    answers: list[PollAnswer] = []
    request = PollRequest({DRIVE: start.cursor})

    async def poll() -> None:
        answers.append(await kit.poll_changes(OWNER, request, 1e9))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(poll)
        await trio.testing.wait_all_tasks_blocked()
        kit.hub.close()
    late = await kit.poll_changes(OWNER, request, 1e9)
    assert [each.moved for each in (*answers, late)] == [[], []]
    assert late.retry_after_s > 0


async def test_more_polls_than_may_be_held_are_refused() -> None:
    hub = ChangeHub(watchers_max=1)
    with hub.watch([DRIVE]):
        with pytest.raises(HubFull), hub.watch([OTHER_DRIVE]):
            pass
    with hub.watch([OTHER_DRIVE]):
        assert hub.watcher_count == 1


async def test_a_new_epoch_resets_every_cursor() -> None:
    kit = await open_drive()
    (start,) = await kit.snapshot()
    await kit.database.write(
        lambda connection: connection.execute(drives.update().values(epoch=OTHER_EPOCH)).close()
    )
    with pytest.raises(Refusal) as caught:
        await kit.load_changes(OWNER, DRIVE, start.cursor)
    assert caught.value.code == ErrorCode.CURSOR_RESET
