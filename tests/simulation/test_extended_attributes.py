"""What two devices say of one file beside its bytes: nobody loses the other's attributes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from trio.testing import MockClock

from mountfs.errors import NoAttribute
from simulation.world import Device, World, open_world

TAG, OTHER = b"user.tag", b"user.other"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


async def begin(world: World) -> tuple[Device, Device]:
    """Both have a file `f` and a folder `d`, and hear of each other no more."""
    first, second = await world.device("one"), await world.device("two")
    await first.write("f", b"x")
    await first.mkdir("d")
    await world.quiet()
    for device in (first, second):
        device.transport.is_cut = True
    return first, second


async def meet(world: World, first: Device, second: Device) -> None:
    for device in (first, second):
        device.transport.is_cut = False
        await device.settled()
    await world.quiet()


async def tags(device: Device, path: str) -> dict[bytes, bytes]:
    inode = await device.find(path)
    names = await device.fs.list_xattrs(inode)
    return {name: await device.fs.get_xattr(inode, name) for name in names}


async def tag(device: Device, path: str, name: bytes, value: bytes) -> None:
    await device.fs.set_xattr(await device.find(path), name, value)


async def test_a_chmod_there_keeps_the_tag_from_here(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await begin(world)
    await tag(first, "f", TAG, b"1")
    await second.chmod("f", 0o600)
    await meet(world, first, second)
    for device in (first, second):
        assert await tags(device, "f") == {TAG: b"1"}
        assert (await device.stat("f")).mode & 0o777 == 0o600


async def test_a_file_made_in_a_folder_keeps_the_folder_s_tag(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await begin(world)
    await tag(first, "d", TAG, b"1")
    await second.write("d/new", b"x")
    await meet(world, first, second)
    for device in (first, second):
        assert await tags(device, "d") == {TAG: b"1"}


async def test_both_set_and_one_removes(autojump_clock: MockClock, world: World) -> None:
    first, second = await world.device("one"), await world.device("two")
    await first.write("f", b"x")
    await tag(first, "f", b"user.old", b"0")
    await world.quiet()
    for device in (first, second):
        device.transport.is_cut = True
    await tag(first, "f", TAG, b"1")
    await tag(second, "f", OTHER, b"2")
    await second.fs.remove_xattr(await second.find("f"), b"user.old")
    await meet(world, first, second)
    for device in (first, second):
        assert await tags(device, "f") == {TAG: b"1", OTHER: b"2"}
        with pytest.raises(NoAttribute):
            await device.fs.get_xattr(await device.find("f"), b"user.old")


async def test_two_new_folders_of_one_name_have_both_tags(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await begin(world)
    for device, name in ((first, TAG), (second, OTHER)):
        await device.mkdir("n")
        await tag(device, "n", name, b"1")
    await meet(world, first, second)
    for device in (first, second):
        assert await tags(device, "n") == {TAG: b"1", OTHER: b"1"}


async def test_two_equal_new_files_with_other_tags_are_two(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await begin(world)
    for device, name in ((first, TAG), (second, OTHER)):
        await device.write("n", b"same")
        await tag(device, "n", name, b"1")
    await meet(world, first, second)
    kept = set()
    for path in await first.tree():
        if path.startswith("n"):
            kept |= set(await tags(first, path))
    assert kept == {TAG, OTHER}
