"""A conflict copy is known on every device, and settled on all of them at once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mountfs.core.resolution import Keep
from mountfs.errors import SetupError
from mountfs.state.conflict_copies import ConflictCopy, find_conflict_copies
from mountfs.vfs.resolution import conflict_copy_at, resolve_conflict
from simulation.test_both_sides_changed import FILE, begin, copy_of, do, meet
from simulation.world import Device, World, open_world

COPY = copy_of("f.txt")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        world.shared_cache = {}
        yield world


def listed(device: Device) -> list[ConflictCopy]:
    return find_conflict_copies(device.state)


def paths(device: Device) -> list[tuple[str, str]]:
    """The path of each copy, and of its original."""
    tree = device.state.tree
    return [
        (
            tree.path_of(found.copy.node_id).decode(),
            tree.path_of(found.original.node_id).decode() if found.original else "",
        )
        for found in listed(device)
    ]


async def settle(device: Device, path: str, keep: Keep) -> None:
    found = conflict_copy_at(device.state, path.encode())
    await resolve_conflict(device.fs, found, keep)


async def one_conflict(world: World) -> tuple[Device, Device]:
    """Both devices edited f.txt, and met."""
    first, second = await begin(world, FILE)
    await first.write("f.txt", b"theirs")
    await second.write("f.txt", b"ours")
    await meet(world, first, second)
    return first, second


async def test_every_device_lists_a_copy_with_who_made_it_and_when(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await one_conflict(world)
    for device in (first, second):
        assert paths(device) == [(COPY, "f.txt")]
        (found,) = listed(device)
        assert found.mark.device == "second"
        assert found.mark == listed(first)[0].mark
    await second.kill()
    await second.start()
    assert paths(second) == [(COPY, "f.txt")]


async def test_a_copy_is_known_by_more_than_its_name(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await one_conflict(world)
    await first.write(copy_of("other"), b"only called so")
    await second.mkdir("d")
    await second.rename(COPY, "d/moved")
    await first.rename("f.txt", "g.txt")
    await world.quiet()
    for device in (first, second):
        assert paths(device) == [("d/moved", "g.txt")]


@pytest.mark.parametrize(
    ("made", "copies"),
    [
        ([("write", "n", b"1")], [(copy_of("n"), "n")]),
        ([("symlink", "n", "1")], [(copy_of("n"), "n")]),
        ([("rename", "f.txt", "n")], [(copy_of("n"), "n")]),
    ],
)
async def test_whatever_got_another_name_is_listed(
    autojump_clock: MockClock,
    world: World,
    made: list[tuple[str, ...]],
    copies: list[tuple[str, str]],
) -> None:
    first, second = await begin(world, FILE)
    await first.write("n", b"theirs")
    await do(second, made)
    await meet(world, first, second)
    assert paths(first) == paths(second) == copies


async def test_a_name_given_to_what_was_removed_is_listed_if_it_was_taken(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await begin(world, FILE)
    await do(first, [("unlink", "f.txt"), ("write", "g", b"theirs")])
    await second.rename("f.txt", "g")
    assert await meet(world, first, second) == {"g": b"theirs", copy_of("g"): b"base"}
    assert paths(first) == paths(second) == [(copy_of("g"), "g")]


@pytest.mark.parametrize("settler", [0, 1])
@pytest.mark.parametrize(
    ("keep", "shown"),
    [
        (Keep.COPY, {"f.txt": b"ours"}),
        (Keep.ORIGINAL, {"f.txt": b"theirs"}),
        (Keep.BOTH, {"f.txt": b"theirs", COPY: b"ours"}),
    ],
)
async def test_a_conflict_is_settled_for_all(
    autojump_clock: MockClock, world: World, keep: Keep, shown: dict[str, bytes], settler: int
) -> None:
    devices = await one_conflict(world)
    original = devices[0].node_of(await devices[0].find("f.txt"))
    await settle(devices[settler], COPY, keep)
    await world.quiet()
    for device in devices:
        assert await device.tree() == shown
        assert not listed(device)
        assert device.node_of(await device.find("f.txt")) == original, "its history goes on"


async def test_a_settled_conflict_stays_settled_over_a_save_and_a_restart(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await one_conflict(world)
    first.transport.is_cut = True
    await settle(first, COPY, Keep.BOTH)
    await first.kill()
    first.transport.is_cut = False
    await first.start()
    await world.quiet()
    await first.write("x.tmp", b"saved")
    await first.rename("x.tmp", COPY)
    await world.quiet()
    for device in (first, second):
        assert not listed(device)
        assert await device.tree() == {"f.txt": b"theirs", COPY: b"saved"}


async def test_a_mode_and_a_settlement_do_not_fight(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await one_conflict(world)
    first.transport.is_cut = second.transport.is_cut = True
    await first.chmod(COPY, 0o600)
    await settle(second, COPY, Keep.BOTH)
    await meet(world, first, second)
    for device in (first, second):
        assert not listed(device)
        assert (await device.stat(COPY)).mode & 0o7777 == 0o600


@pytest.mark.parametrize("settled_first", [0, 1])
async def test_both_settle_it_differently_and_nothing_is_lost(
    autojump_clock: MockClock, world: World, settled_first: int
) -> None:
    devices = await one_conflict(world)
    for device in devices:
        device.transport.is_cut = True
    await settle(devices[settled_first], COPY, Keep.COPY)
    await settle(devices[1 - settled_first], COPY, Keep.BOTH)
    await trio.sleep(5)
    tree = await meet(world, *devices)
    assert b"ours" in tree.values()
    assert paths(devices[0]) == paths(devices[1]) == []


async def test_removing_or_renaming_by_hand_settles_it(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await one_conflict(world)
    await first.rename(COPY, "f.txt")
    await world.quiet()
    assert await second.tree() == {"f.txt": b"ours"}
    assert not listed(first)
    assert not listed(second)


async def test_a_mount_that_may_not_write_settles_nothing(
    autojump_clock: MockClock, world: World
) -> None:
    first, _ = await one_conflict(world)
    first.fs.is_read_only = True
    with pytest.raises(SetupError, match="read-only"):
        await settle(first, COPY, Keep.BOTH)
    assert paths(first) == [(COPY, "f.txt")]


async def test_what_cannot_be_settled_so_names_the_remedy(
    autojump_clock: MockClock, world: World
) -> None:
    first, _ = await one_conflict(world)
    with pytest.raises(SetupError, match="no conflict copy") as caught:
        await settle(first, "f.txt", Keep.COPY)
    assert "mountfs conflicts" in caught.value.remedy
    with pytest.raises(SetupError, match="no conflict copy"):
        await settle(first, "not/there", Keep.COPY)
    await first.link("f.txt", "link")
    with pytest.raises(SetupError, match="several names") as caught:
        await settle(first, COPY, Keep.COPY)
    assert "--keep-both" in caught.value.remedy
    await first.unlink("f.txt")
    await first.unlink("link")
    assert paths(first) == [(COPY, "")]
    with pytest.raises(SetupError, match="original was removed"):
        await settle(first, COPY, Keep.ORIGINAL)
    await settle(first, COPY, Keep.BOTH)
    assert not listed(first)
