"""Old removals are forgotten, and a device that was not told of them starts anew."""

import pytest

from backend_server.domain.refusals import Refusal
from backend_server.protocol.commit_messages import Outcome
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.tree_messages import NodeKind, PollAnswer, PollRequest
from backend_server.services.compact_journal import TOMBSTONE_KEEP_MS
from drive_kit import DRIVE, FIRST_NODE, OWNER, DriveKit, create, folder, open_drive, place

FOLDER, FILE, LATER = range(FIRST_NODE, FIRST_NODE + 3)


async def aged_drive() -> tuple[DriveKit, str, str]:
    """A drive that saw changes long ago and one now; a cursor of before those, one of after."""
    kit = await open_drive()
    (start,) = await kit.snapshot()
    await kit.commit(folder(1, b"f", FOLDER), create(FOLDER, b"x", FILE))
    await kit.commit(place((FOLDER, b"x", FILE, 0)))
    (before,) = await kit.changes(start.cursor)
    kit.clock.now_ms += TOMBSTONE_KEEP_MS + 1
    await kit.commit(create(FOLDER, b"y", LATER))
    return kit, start.cursor, before.cursor


async def test_only_a_device_that_was_away_too_long_starts_anew() -> None:
    kit, old_cursor, recent_cursor = await aged_drive()
    assert await kit.compact_journal() == 4, "three entries and the tombstone of x"
    for load in (kit.load_changes, kit.load_snapshot_page):
        with pytest.raises(Refusal) as caught:
            await load(OWNER, DRIVE, old_cursor)
        assert caught.value.code == ErrorCode.CURSOR_RESET
    assert await kit.poll_changes(OWNER, PollRequest({DRIVE: old_cursor}), 0) == PollAnswer([DRIVE])
    (changes,) = await kit.changes(recent_cursor)
    assert [dentry.name for dentry in changes.dentries] == [b"y"]
    (snapshot,) = await kit.snapshot()
    assert {dentry.name for dentry in snapshot.dentries} == {b"f", b"y"}
    assert await kit.compact_journal() == 0


async def test_a_snapshot_that_is_being_read_goes_on_or_starts_anew() -> None:
    kit = await open_drive(rows_max=2)
    await kit.commit(folder(1, b"f", FOLDER), create(FOLDER, b"x", FILE))
    first = await kit.load_snapshot_page(OWNER, DRIVE, None)
    assert first.has_more
    kit.clock.now_ms += TOMBSTONE_KEEP_MS + 1
    await kit.compact_journal()
    assert (await kit.load_snapshot_page(OWNER, DRIVE, first.cursor)).nodes, "nothing was removed"
    await kit.commit(place((FOLDER, b"x", FILE, 0)))
    kit.clock.now_ms += TOMBSTONE_KEEP_MS + 1
    await kit.compact_journal()
    with pytest.raises(Refusal) as caught:
        await kit.load_snapshot_page(OWNER, DRIVE, first.cursor)
    assert caught.value.code == ErrorCode.CURSOR_RESET


async def test_an_id_that_was_given_is_never_given_again() -> None:
    kit, _, recent_cursor = await aged_drive()
    await kit.compact_journal()
    answer = await kit.commit(create(1, b"again", FILE))
    assert answer.answers[0].outcome is Outcome.REFUSED
    assert answer.answers[0].code is ErrorCode.NODE_ID_TAKEN
    answer = await kit.commit(create(FOLDER, b"x", FILE + 100))
    assert answer.answers[0].outcome is Outcome.APPLIED, "the name is free"
    (changes,) = await kit.changes(recent_cursor)
    assert {node.kind for node in changes.nodes} == {NodeKind.FILE}


async def test_entries_of_a_clock_that_was_ahead_grow_old_with_those_behind_them() -> None:
    """More of them than one transaction lets go of, so that none of the others is among them."""
    years_ms = 14 * 365 * 24 * 3600 * 1000
    kit = await open_drive()
    await kit.compact_journal()
    kit.clock.set(years_ms)
    for number in range(7):
        await kit.commit(create(1, b"%d" % number, FIRST_NODE + number))
    kit.clock.set(-years_ms)
    assert await kit.compact_journal() == 0
    await kit.commit(create(1, b"now", FIRST_NODE + 7))
    assert await kit.compact_journal() == 0, "as young as what lies behind them"
    (recent,) = await kit.snapshot()
    kit.clock.now_ms += TOMBSTONE_KEEP_MS + 1
    assert await kit.compact_journal() == 8
    assert not (await kit.changes(recent.cursor))[0].nodes
