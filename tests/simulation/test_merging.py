"""Two devices edit one text: what both of them show when the edits can be merged, and when not."""

import os
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mountfs.errors import LocalStorageFull
from mountfs.vfs.interface import Handle
from simulation.test_both_sides_changed import begin, copy_of, do, meet
from simulation.world import CALLER, Device, World, open_world

BASE = b"one\ntwo\nthree\nfour\n"
THEIRS = b"ONE\ntwo\nthree\nfour\n"
OURS = b"one\ntwo\nthree\nFOUR\n"
MERGED = b"ONE\ntwo\nthree\nFOUR\n"
MORE_OF_OURS = b"one\ntwo\nthree\nFOUR\nfive\n"
MORE_MERGED = b"ONE\ntwo\nthree\nFOUR\nfive\n"
COPY = copy_of("f.txt")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


async def both_edit(
    world: World, ours: bytes = OURS, theirs: bytes = THEIRS
) -> tuple[Device, Device]:
    first, second = await begin(world, [("write", "f.txt", BASE)])
    await first.write("f.txt", theirs)
    await second.write("f.txt", ours)
    return first, second


async def dispute(world: World) -> tuple[Device, Device]:
    """As `both_edit`, and the second device knows of the other edit, but not what it is."""
    first, second = await both_edit(world)
    second.transport.brings_no_blocks = True
    first.transport.is_cut = False
    await first.settled()
    second.transport.is_cut = False
    await trio.sleep(30)
    assert second.state.disputes.bases
    assert await second.tree() == {"f.txt": OURS}, "a local change does not disappear"
    return first, second


async def decide(world: World, first: Device, second: Device) -> dict[str, bytes | None]:
    second.transport.brings_no_blocks = False
    tree = await meet(world, first, second)
    assert not second.state.disputes.bases
    return tree


async def merges_on_the_server(world: World) -> list[tuple[int, int, int]]:
    """(revision, revision before it, merged from) of what says that it was merged."""
    rows = await world.revisions()
    return [
        (revision, before, merged_from)
        for (_, before, _), (_, revision, merged_from) in pairwise(rows)
        if merged_from
    ]


@pytest.mark.parametrize("is_killed", [False, True])
async def test_edits_apart_become_one_text_whose_history_says_so(
    autojump_clock: MockClock, world: World, is_killed: bool
) -> None:
    first, second = await both_edit(world)
    node = second.node_of(await second.find("f.txt"))
    inode = await second.find("f.txt")
    if is_killed:
        first.transport.is_cut = False
        await first.settled()
        await second.kill()
        second.transport.is_cut = False
        await second.start()
    assert await meet(world, first, second) == {"f.txt": MERGED}
    assert await second.find("f.txt") == inode
    assert second.node_of(inode) == node
    base, theirs, merged = [revision for _, revision, _ in await world.revisions()]
    assert await merges_on_the_server(world) == [(merged, theirs, base)]
    assert is_killed or inode in second.kernel.contents


@pytest.mark.parametrize(
    ("ours", "theirs", "shown"),
    [
        (OURS, b"one\ntwo\nTHREE\nfour\n", None),  # they touch
        (OURS, b"one\ntwo\nthree\n4\n", None),  # they overlap
        (b"one\0\n" + OURS, THEIRS, None),
        (b"\xff\n" + OURS, THEIRS, None),
        (MERGED, THEIRS, MERGED),
        (OURS, MERGED, MERGED),
        (b"", b"", b""),
        (b"one\ntwo\n", THEIRS, b"ONE\ntwo\n"),
        (b"one\r\ntwo\nthree\nfour\n", b"one\ntwo\nthree\nfour", b"one\r\ntwo\nthree\nfour"),
    ],
)
async def test_what_both_show(
    autojump_clock: MockClock, world: World, ours: bytes, theirs: bytes, shown: bytes | None
) -> None:
    first, second = await both_edit(world, ours, theirs)
    expected = {"f.txt": theirs, COPY: ours} if shown is None else {"f.txt": shown}
    assert await meet(world, first, second) == expected


async def test_an_edit_that_holds_the_other_is_no_revision_of_its_own(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await both_edit(world, OURS, MERGED)
    await meet(world, first, second)
    assert len(await world.revisions()) == 2


async def test_whoever_wants_no_merge_gets_both(autojump_clock: MockClock, world: World) -> None:
    first, second = await begin(world, [("write", "f.txt", BASE)])
    second.is_merging = False
    await second.kill()
    second.transport.is_cut = False
    await second.start()
    second.transport.is_cut = True
    await first.write("f.txt", THEIRS)
    await second.write("f.txt", OURS)
    assert await meet(world, first, second) == {"f.txt": THEIRS, COPY: OURS}
    assert not second.contents.merges_count


async def test_a_dispute_that_was_left_is_kept_both_by_whoever_wants_no_merge(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await dispute(world)
    second.is_merging = False
    await second.kill()
    await second.start()
    assert await decide(world, first, second) == {"f.txt": THEIRS, COPY: OURS}


async def test_saved_by_rename_on_both_sides(autojump_clock: MockClock, world: World) -> None:
    first, second = await begin(world, [("write", "f.txt", BASE)])
    for device, text in ((first, THEIRS), (second, OURS)):
        await device.write("f.tmp", text)
        await device.rename("f.tmp", "f.txt")
    await trio.sleep(5)
    assert await meet(world, first, second) == {"f.txt": MERGED}


async def open_for_writing(device: Device) -> Handle:
    return (await device.fs.open(await device.find("f.txt"), os.O_RDWR, CALLER)).handle


@pytest.mark.parametrize("is_opened_late", [False, True])
async def test_bytes_do_not_change_under_a_program_that_writes(
    autojump_clock: MockClock, world: World, is_opened_late: bool
) -> None:
    if is_opened_late:
        first, second = await dispute(world)
        handle = await open_for_writing(second)
    else:
        first, second = await both_edit(world)
        handle = await open_for_writing(second)
    assert await decide(world, first, second) == {"f.txt": THEIRS, COPY: OURS}
    await second.fs.write(handle, len(OURS), b"five\n")
    assert bytes(await second.fs.read(handle, 0, 100)) == MORE_OF_OURS
    await second.fs.release(handle)
    await world.quiet()
    assert await first.tree() == {"f.txt": THEIRS, COPY: MORE_OF_OURS}


async def test_a_program_that_reads_sees_the_merge(autojump_clock: MockClock, world: World) -> None:
    first, second = await both_edit(world)
    handle = (await second.fs.open(await second.find("f.txt"), os.O_RDONLY, CALLER)).handle
    await meet(world, first, second)
    assert bytes(await second.fs.read(handle, 0, 100)) == MERGED
    await second.fs.release(handle)


@pytest.mark.parametrize("is_killed", [False, True])
async def test_without_the_bytes_a_dispute_waits(
    autojump_clock: MockClock, world: World, is_killed: bool
) -> None:
    first, second = await dispute(world)
    await first.write("g", b"other files go on")
    await trio.sleep(5)
    assert await second.find("g")
    if is_killed:
        await second.kill()
        await second.start()
        assert await second.read("f.txt") == OURS
    assert await decide(world, first, second) == {"f.txt": MERGED, "g": b"other files go on"}


async def test_what_is_written_meanwhile_is_merged_too(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await dispute(world)
    await second.write("f.txt", MORE_OF_OURS)
    assert await decide(world, first, second) == {"f.txt": MORE_MERGED}


async def test_what_is_saved_by_rename_meanwhile_is_merged_too(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await dispute(world)
    await second.write("f.tmp", MORE_OF_OURS)
    await second.rename("f.tmp", "f.txt")
    await trio.sleep(5)
    assert await decide(world, first, second) == {"f.txt": MORE_MERGED}


async def test_a_back_up_made_meanwhile_is_what_was_seen_here(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await dispute(world)
    await second.rename("f.txt", "f~")
    await second.write("f.txt", MORE_OF_OURS)
    await trio.sleep(5)
    assert await decide(world, first, second) == {"f.txt": MORE_MERGED, "f~": OURS}


async def test_another_edit_from_there_is_merged_too(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await dispute(world)
    await first.write("f.txt", b"zero\n" + THEIRS)
    assert await decide(world, first, second) == {"f.txt": b"zero\n" + MERGED}


async def test_an_edit_beside_a_merge_on_its_way_is_merged_again(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await dispute(world)
    second.transport.lose_answers = 1
    second.transport.brings_no_blocks = False
    await trio.sleep(15)
    await first.write("f.txt", b"zero\n" + await first.read("f.txt"))
    await second.write("f.txt", await second.read("f.txt") + b"five\n")
    assert await meet(world, first, second) == {"f.txt": b"zero\n" + MERGED + b"five\n"}


async def test_a_removal_there_beats_no_edit(autojump_clock: MockClock, world: World) -> None:
    first, second = await dispute(world)
    await first.unlink("f.txt")
    assert await decide(world, first, second) == {"f.txt": OURS}


@pytest.mark.parametrize(
    ("steps", "shown"),
    [
        ([("unlink", "f.txt")], {"f.txt": THEIRS}),
        ([("rename", "f.txt", "g.txt")], {"g.txt": MERGED}),
        ([("link", "f.txt", "g.txt"), ("unlink", "f.txt")], {"g.txt": MERGED}),
        ([("unlink", "f.txt"), ("symlink", "f.txt", "x")], {"f.txt": THEIRS, COPY: b"x"}),
        ([("unlink", "f.txt"), ("mkdir", "f.txt")], {"f.txt": THEIRS, COPY: None}),
        ([("chmod", "f.txt", 0o600)], {"f.txt": MERGED}),
    ],
)
async def test_what_programs_do_with_a_disputed_file(
    autojump_clock: MockClock,
    world: World,
    steps: list[tuple[object, ...]],
    shown: dict[str, bytes | None],
) -> None:
    first, second = await dispute(world)
    await do(second, steps)
    await trio.sleep(5)
    assert await decide(world, first, second) == shown
    if ("chmod", "f.txt", 0o600) in steps:
        assert (await first.stat("f.txt")).mode & 0o7777 == 0o600


async def test_a_dispute_over_removed_bytes_keeps_both(
    autojump_clock: MockClock, world: World
) -> None:
    """The server no longer has the base."""
    first, second = await both_edit(world)
    second.contents.is_unreadable = True
    assert await meet(world, first, second) == {"f.txt": THEIRS, COPY: OURS}


async def test_edits_in_turn_are_no_dispute(autojump_clock: MockClock, world: World) -> None:
    first, second = await begin(world, [("write", "f.txt", BASE)])
    first.transport.is_cut = second.transport.is_cut = False
    await first.write("f.txt", THEIRS)
    await world.quiet()
    await second.write("f.txt", MERGED)
    await world.quiet()
    assert await first.tree() == {"f.txt": MERGED}
    assert not second.contents.merges_count
    assert not await merges_on_the_server(world)


async def test_a_merge_that_finds_no_room_waits_for_it(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await dispute(world)
    overlays = second.state.overlays
    room, overlays.staging_limit_bytes = overlays.staging_limit_bytes, 1
    second.transport.brings_no_blocks = False
    await trio.sleep(60)
    assert await second.tree() == {"f.txt": OURS}, "as if it had never been tried"
    overlays.staging_limit_bytes = room
    assert await decide(world, first, second) == {"f.txt": MERGED}


async def test_a_dispute_that_finds_no_room_to_be_decided_waits_for_it(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are kept of a file that is open for writing, and that takes a row."""
    first, second = await dispute(world)
    opened = await second.fs.open(await second.find("f.txt"), os.O_WRONLY, CALLER)
    second.transport.brings_no_blocks = False
    full = second.state.database
    with monkeypatch.context() as disk:
        disk.setattr(full, "transaction", refuse_for_want_of_room)
        await trio.sleep(60)
    await second.fs.release(opened.handle)
    assert await decide(world, first, second), "the device is alive"


def refuse_for_want_of_room() -> None:
    raise LocalStorageFull("as the test wants it")


async def test_what_was_saved_meanwhile_is_merged_whatever_else_the_feed_brings(
    autojump_clock: MockClock, world: World
) -> None:
    """The file that was saved over it is on the base that was seen here, not on the head."""
    first, second = await dispute(world)
    await second.write("f.tmp", MORE_OF_OURS)
    await second.rename("f.tmp", "f.txt")
    await trio.sleep(5)
    await first.chmod("f.txt", 0o600)
    await trio.sleep(5)
    assert second.state.disputes.bases
    assert await decide(world, first, second) == {"f.txt": MORE_MERGED}


@pytest.mark.parametrize("meanwhile", ["write", "save", "remove", "open"])
async def test_what_happens_while_a_merge_is_made_is_no_part_of_it(
    autojump_clock: MockClock, world: World, meanwhile: str
) -> None:
    first, second = await both_edit(world)
    handles = []

    async def once() -> None:
        second.contents.during_merge = trio.lowlevel.checkpoint
        match meanwhile:
            case "write":
                await second.write("f.txt", MORE_OF_OURS)
            case "save":
                await second.write("f.tmp", MORE_OF_OURS)
                await second.rename("f.tmp", "f.txt")
            case "remove":
                await second.unlink("f.txt")
            case "open":
                handles.append(await open_for_writing(second))

    second.contents.during_merge = once
    shown = {
        "write": {"f.txt": MORE_MERGED},
        "save": {"f.txt": MORE_MERGED},
        "remove": {"f.txt": THEIRS},
        "open": {"f.txt": THEIRS, COPY: OURS},
    }
    assert await meet(world, first, second) == shown[meanwhile]
    for handle in handles:
        await second.fs.release(handle)


async def test_another_head_while_a_merge_is_made(autojump_clock: MockClock, world: World) -> None:
    first, second = await both_edit(world)

    async def once() -> None:
        second.contents.during_merge = trio.lowlevel.checkpoint
        await first.write("f.txt", b"zero\n" + THEIRS)
        await trio.sleep(10)

    second.contents.during_merge = once
    assert await meet(world, first, second) == {"f.txt": b"zero\n" + MERGED}
    assert second.contents.merges_count == 2


async def test_what_is_written_faster_than_merged_is_kept_both(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await both_edit(world)

    async def each_time() -> None:
        await second.write("f.txt", OURS + b"%d\n" % second.contents.merges_count)

    second.contents.during_merge = each_time
    assert await meet(world, first, second) == {"f.txt": THEIRS, COPY: OURS + b"5\n"}
    assert second.contents.merges_count == 5
