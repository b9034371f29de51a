"""A drive comes back from a backup: what is told to whom."""

import pytest

from backend_server.domain.epochs import EndedEpoch, count_skipped, end_epoch, find_lost_past
from backend_server.domain.refusals import Refusal
from backend_server.metadata.epoch_rows import load_ended_epochs
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import Sequence
from backend_server.protocol.lost_past import LostPast
from backend_server.protocol.tree_messages import NodeKind
from backend_server.services.begin_epoch import BeginEpochs, begin_epoch
from drive_kit import DRIVE, FIRST_NODE, OWNER, DriveKit, create, open_drive, place

NOW_MS = 1_800_000_000_000
FIRST = EndedEpoch("one", 10, 1000)
SECOND = EndedEpoch("two", 1005, 2000)
BEFORE_FIRST = EndedEpoch("one", 7, 2000)


@pytest.mark.parametrize(
    ("ended", "epoch", "sequence", "lost"),
    [
        ([], "one", 12, None),
        ([FIRST], "one", 12, LostPast(10, 1000)),
        ([FIRST], "one", 10, None),
        ([FIRST, SECOND], "one", 12, LostPast(10, 2000)),
        ([FIRST, SECOND], "two", 1006, LostPast(1005, 2000)),
        ([FIRST, SECOND], "two", 1005, None),
        # "two" began, and the server came back from a backup of before that.
        ([BEFORE_FIRST], "two", 1006, LostPast(7, 2000)),
        # The same, with a clock that was ahead when "two" began.
        ([BEFORE_FIRST], "two", 5000, LostPast(7, 5000)),
    ],
)
def test_what_a_reader_lost(
    ended: list[EndedEpoch], epoch: str, sequence: int, lost: LostPast | None
) -> None:
    assert find_lost_past(ended, reader_epoch=epoch, reader_sequence=sequence) == lost


def test_an_epoch_begins_beyond_all_numbers_that_were_given() -> None:
    first = end_epoch("one", head_sequence=10, now_ms=NOW_MS, chance=0.5)
    again = end_epoch("one", head_sequence=10, now_ms=NOW_MS + 1, chance=0.5)
    assert first.kept_through == again.kept_through == 10
    assert 10 < first.resumed_at < again.resumed_at - 1_000_000
    behind = end_epoch("two", head_sequence=again.resumed_at, now_ms=NOW_MS - 9, chance=0.5)
    assert behind.resumed_at > again.resumed_at + 1_000_000, "the clock was set back"
    far = end_epoch("one", head_sequence=10, now_ms=1 << 60, chance=1.0)
    assert far.resumed_at < 1 << 63, "the clock is wrong by ages"


def test_skipped_numbers_are_counted_where_they_are_asked_for() -> None:
    assert count_skipped([FIRST, SECOND], first=2, last=2005) == 990 + 995
    assert count_skipped([FIRST, SECOND], first=500, last=1500) == 501 + 495
    assert count_skipped([FIRST], first=1001, last=1001) == 0


async def restored_drive() -> tuple[DriveKit, str]:
    """A drive in its second epoch, and the cursor of a device that saw more of the first.

    It has an old file, one that was removed before the backup, and one removed since.
    """
    kit = await open_drive()
    await kit.commit(
        create(1, b"old", FIRST_NODE), create(1, b"x", FIRST_NODE + 1),
        create(1, b"y", FIRST_NODE + 2), place((1, b"x", FIRST_NODE + 1, 0)),
    )  # fmt: skip
    (page,) = await kit.snapshot()
    # As if it had been written before the database went back.
    ahead = await seen_more(kit, page.consistent_at + 5)
    await kit.database.write(lambda c: begin_epoch(c, DRIVE, now_ms=NOW_MS))
    await kit.commit(place((1, b"y", FIRST_NODE + 2, 0)))
    return kit, ahead


async def seen_more(kit: DriveKit, sequence: int) -> str:
    """Return the cursor of a device that has seen changes up to `sequence`."""
    from backend_server.domain.cursors import Cursor, seal_cursor
    from drive_kit import CURSOR_KEY, EPOCH

    cursor = Cursor(Sequence(sequence))
    return seal_cursor(cursor, key=CURSOR_KEY, drive_id=DRIVE, epoch=EPOCH)


async def test_a_snapshot_says_what_was_lost_and_what_was_removed_since() -> None:
    kit, ahead = await restored_drive()
    with pytest.raises(Refusal) as caught:
        await kit.load_changes(OWNER, DRIVE, ahead)
    assert caught.value.code is ErrorCode.CURSOR_RESET
    page = await kit.load_snapshot_page(OWNER, DRIVE, None, ahead)
    assert page.lost is not None
    assert page.lost.has(page.lost.kept_through + 5)
    removed = {node.node_id for node in page.nodes if node.kind is NodeKind.REMOVED}
    assert removed == {FIRST_NODE + 2}, "and not what had been removed before"
    assert (await kit.load_snapshot_page(OWNER, DRIVE, None)).lost is None
    assert (await kit.load_snapshot_page(OWNER, DRIVE, None, page.cursor)).lost is None
    assert (await kit.load_snapshot_page(OWNER, DRIVE, None, "none")).lost is None


async def test_a_cursor_ahead_of_the_drive_begins_an_epoch_once() -> None:
    kit = await open_drive()
    await kit.commit(create(1, b"old", FIRST_NODE))
    ahead = await seen_more(kit, 50)
    for _ in range(2):
        with pytest.raises(Refusal):
            await kit.load_changes(OWNER, DRIVE, ahead)
    ended = await kit.database.read(lambda c: load_ended_epochs(c, DRIVE))
    assert [each.kept_through for each in ended] == [2]
    assert (await kit.load_snapshot_page(OWNER, DRIVE, None, ahead)).lost is not None


async def test_every_drive_gets_a_new_epoch() -> None:
    kit = await open_drive()
    assert await BeginEpochs(kit.database, clock_ms=lambda: NOW_MS)() == 1
    assert await BeginEpochs(kit.database, clock_ms=lambda: NOW_MS + 1)() == 1
    ended = await kit.database.read(lambda c: load_ended_epochs(c, DRIVE))
    assert len({each.epoch for each in ended}) == 2
