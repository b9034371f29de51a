"""Two devices and one server in one event loop: what each does arrives at the other."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from simulation.world import Device, World, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


async def same_everywhere(*devices: Device) -> dict[str, bytes | None]:
    trees = [await device.tree() for device in devices]
    assert all(tree == trees[0] for tree in trees)
    return trees[0]


async def test_what_one_makes_the_other_sees(autojump_clock: MockClock, world: World) -> None:
    a, b = await world.device("a"), await world.device("b")
    await a.mkdir("docs")
    await a.write("docs/hello.txt", b"hello")
    await a.write("empty", b"")
    await world.quiet()
    assert await same_everywhere(a, b) == {
        "docs": None, "docs/hello.txt": b"hello", "empty": b"",
    }  # fmt: skip


async def test_edits_renames_and_removals_arrive(autojump_clock: MockClock, world: World) -> None:
    a, b = await world.device("a"), await world.device("b")
    await a.mkdir("d")
    await a.write("d/x", b"1")
    await a.write("y", b"2")
    await world.quiet()
    await b.write("d/x", b"one")
    await b.rename("y", "d/z")
    await world.quiet()
    assert await same_everywhere(a, b) == {"d": None, "d/x": b"one", "d/z": b"2"}
    await a.unlink("d/x")
    await a.unlink("d/z")
    await a.rmdir("d")
    await world.quiet()
    assert await same_everywhere(a, b) == {}


@pytest.mark.parametrize("is_committed_between", [False, True])
async def test_rename_over_keeps_the_node(
    autojump_clock: MockClock, world: World, is_committed_between: bool
) -> None:
    a, b = await world.device("a"), await world.device("b")
    await a.write("f", b"old")
    await world.quiet()
    node = b.node_of(await b.find("f"))
    await a.write("f.tmp", b"new")
    if is_committed_between:
        await world.quiet()
    saved = await a.find("f.tmp")
    await a.rename("f.tmp", "f")
    assert await a.find("f") == saved
    await world.quiet()
    assert await same_everywhere(a, b) == {"f": b"new"}
    assert b.node_of(await b.find("f")) == node == a.node_of(await a.find("f"))
    assert await a.find("f") == saved


async def test_unlink_and_create_keeps_the_node(autojump_clock: MockClock, world: World) -> None:
    a, b = await world.device("a"), await world.device("b")
    await a.write("f", b"old")
    await world.quiet()
    node = b.node_of(await b.find("f"))
    await a.unlink("f")
    await a.write("f", b"new")
    await world.quiet()
    assert await same_everywhere(a, b) == {"f": b"new"}
    assert b.node_of(await b.find("f")) == node


async def test_backup_rename_and_create_keeps_the_node(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await world.device("a"), await world.device("b")
    await a.write("f", b"old")
    await world.quiet()
    node = b.node_of(await b.find("f"))
    await a.rename("f", "f~")
    await a.write("f", b"new")
    await world.quiet()
    assert await same_everywhere(a, b) == {"f": b"new", "f~": b"old"}
    assert b.node_of(await b.find("f")) == node


async def test_a_second_backup_over_the_first_keeps_both_nodes(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await world.device("a"), await world.device("b")
    await a.write("f", b"0")
    await world.quiet()
    node = b.node_of(await b.find("f"))
    for content in (b"1", b"2", b"3"):
        await a.rename("f", "f~")
        await a.write("f", content)
        await world.quiet()
        assert b.node_of(await b.find("f")) == node
    assert await same_everywhere(a, b) == {"f": b"3", "f~": b"2"}


async def test_both_edit_and_both_contents_survive(autojump_clock: MockClock, world: World) -> None:
    a, b = await world.device("a"), await world.device("b")
    await a.write("f.txt", b"base")
    await world.quiet()
    a.transport.is_cut = b.transport.is_cut = True
    await a.write("f.txt", b"from a")
    await b.write("f.txt", b"from b")
    await trio.sleep(5)
    a.transport.is_cut = b.transport.is_cut = False
    await world.quiet()
    tree = await same_everywhere(a, b)
    assert sorted(content for content in tree.values() if content) == [b"from a", b"from b"]
    assert "f.txt" in tree
    assert any(" (conflict of " in path and path.endswith(".txt") for path in tree)


async def test_an_edit_beats_a_removal(autojump_clock: MockClock, world: World) -> None:
    a, b = await world.device("a"), await world.device("b")
    await a.mkdir("d")
    await a.write("d/f", b"base")
    await world.quiet()
    a.transport.is_cut = b.transport.is_cut = True
    await a.unlink("d/f")
    await a.rmdir("d")
    await b.write("d/f", b"edited")
    await trio.sleep(5)
    a.transport.is_cut = False
    await trio.sleep(60)
    b.transport.is_cut = False
    await world.quiet()
    assert await same_everywhere(a, b) == {"d": None, "d/f": b"edited"}


async def test_both_create_one_name(autojump_clock: MockClock, world: World) -> None:
    a, b = await world.device("a"), await world.device("b")
    a.transport.is_cut = b.transport.is_cut = True
    for device in (a, b):
        await device.mkdir("d")
        await device.write("d/f", device.name.encode())
        await device.write(f"d/only-{device.name}", b"x")
    a.transport.is_cut = b.transport.is_cut = False
    await world.quiet()
    tree = await same_everywhere(a, b)
    assert {"d", "d/f", "d/only-a", "d/only-b"} < tree.keys()
    assert {b"a", b"b", b"x"} == {content for content in tree.values() if content}


async def test_a_lost_answer_changes_nothing(autojump_clock: MockClock, world: World) -> None:
    a, b = await world.device("a"), await world.device("b")
    a.transport.lose_answers = 1
    await a.write("f", b"1")
    await world.quiet()
    a.transport.lose_answers = 1
    await a.write("f", b"2")
    await world.quiet()
    assert await same_everywhere(a, b) == {"f": b"2"}
    assert not a.transport.lose_answers


@pytest.mark.parametrize("delay_s", [0, 0.05, 0.061, 0.07, 0.2])
async def test_killed_and_started_again(
    autojump_clock: MockClock, world: World, delay_s: float
) -> None:
    a, b = await world.device("a"), await world.device("b")
    await a.write("kept", b"old")
    await world.quiet()
    a.transport.lose_answers = 1
    await a.write("kept", b"new")
    await a.write("made", b"fresh")
    await a.mkdir("d")
    await trio.sleep(delay_s)
    await a.kill()
    await a.start()
    assert await a.tree() == {"kept": b"new", "made": b"fresh", "d": None}
    await world.quiet()
    assert await same_everywhere(a, b) == {"kept": b"new", "made": b"fresh", "d": None}


async def test_two_thousand_files_in_new_folders(autojump_clock: MockClock, world: World) -> None:
    a, b = await world.device("a"), await world.device("b")
    for folder in range(20):
        await a.mkdir(f"d{folder}")
        for file in range(100):
            await a.write(f"d{folder}/f{file}", b"%d" % file)
    await world.quiet()
    assert len(await same_everywhere(a, b)) == 2020


async def test_a_burst_of_files_goes_in_few_batches(
    autojump_clock: MockClock, world: World
) -> None:
    """Each file is closed and quiet long before the last is there, as when tar unpacks."""
    a, b = await world.device("a"), await world.device("b")
    before = a.sync.commits_count
    for number in range(100):
        await a.write(f"file{number}", b"%d" % number)
        await trio.sleep(0.02)
        if number % 10 == 9:
            await trio.sleep(0.05)
    await world.quiet()
    assert len(await same_everywhere(a, b)) == 100
    assert a.sync.commits_count - before <= 6


async def test_an_upload_that_failed_goes_on_under_its_own_id(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await world.device("a"), await world.device("b")
    a.contents.failures_left = 3
    await a.write("f", b"content")
    await world.quiet()
    await a.write("g", b"another")
    await world.quiet()
    assert await same_everywhere(a, b) == {"f": b"content", "g": b"another"}
    *first, other = a.contents.tries
    assert [is_retry for _, _, is_retry in first] == [False, True, True, True]
    assert len({upload_id for _, upload_id, _ in first}) == 1
    assert other[1] != first[0][1]
    assert not other[2]
