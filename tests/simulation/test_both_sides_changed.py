"""What both devices show after they changed the same while apart: every kind of conflict.

Each case begins with `base` on both devices. Then they are cut off, each does its own, and `first`
reaches the server first: its change is the one that `second` finds there.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from simulation.world import Device, World, open_world

Step = tuple[Any, ...]
"""The name of a method of `Device`, and what it is called with."""

DATE = "2025-10-09"
"""Of the simulation's clock."""


def copy_of(name: str, count: str = "") -> str:
    """The name of `second`'s conflict copy."""
    stem, dot, extension = name.partition(".")
    return f"{stem} (conflict of second, {DATE}{count}){dot}{extension}"


@dataclass(frozen=True)
class Case:
    name: str
    base: Sequence[Step]
    first: Sequence[Step]
    second: Sequence[Step]
    shown: dict[str, bytes | None] = field(hash=False)


FILE = [("write", "f.txt", b"base")]
FOLDER_AND_FILE = [("mkdir", "d"), ("write", "d/f", b"base")]
TWO_FOLDERS = [
    ("mkdir", "a"), ("write", "a/f", b"of a"), ("mkdir", "b"), ("write", "b/f", b"of b"),
]  # fmt: skip
DEEP_TREE = [
    ("mkdir", "t"), ("mkdir", "t/s"), ("write", "t/x", b"x"), ("write", "t/s/y", b"y"),
    ("write", "t/s/z", b"z"),
]  # fmt: skip
REMOVE_DEEP_TREE = [
    ("unlink", "t/s/z"), ("unlink", "t/s/y"), ("unlink", "t/x"), ("rmdir", "t/s"), ("rmdir", "t"),
]  # fmt: skip

CASES = [
    Case(
        "edit-edit", FILE,
        [("write", "f.txt", b"theirs")], [("write", "f.txt", b"ours")],
        {"f.txt": b"theirs", copy_of("f.txt"): b"ours"},
    ),
    Case(
        "edit-edit-equal", FILE,
        [("write", "f.txt", b"same")], [("write", "f.txt", b"same")],
        {"f.txt": b"same"},
    ),
    Case(
        "edit-edit-back-to-the-base", FILE,
        [("write", "f.txt", b"theirs")],
        [("write", "f.txt", b"ours"), ("write", "f.txt", b"base")],
        {"f.txt": b"theirs"},
    ),
    Case(
        "edit-edit-by-rename", FILE,
        [("write", "f.tmp", b"theirs"), ("rename", "f.tmp", "f.txt")],
        [("write", "f.tmp", b"ours"), ("rename", "f.tmp", "f.txt")],
        {"f.txt": b"theirs", copy_of("f.txt"): b"ours"},
    ),
    Case(
        "edit-edit-by-backup", FILE,
        [("write", "f.txt", b"theirs")],
        [("rename", "f.txt", "f~"), ("write", "f.txt", b"ours")],
        {"f.txt": b"theirs", copy_of("f.txt"): b"ours", "f~": b"base"},
    ),
    Case(
        "edit-delete", FILE,
        [("write", "f.txt", b"edited")], [("unlink", "f.txt")],
        {"f.txt": b"edited"},
    ),
    Case(
        "delete-edit", FILE,
        [("unlink", "f.txt")], [("write", "f.txt", b"edited")],
        {"f.txt": b"edited"},
    ),
    Case(
        "delete-edit-of-a-part", [("write", "f.txt", b"a long base")],
        [("unlink", "f.txt")], [("patch", "f.txt", 2, b"LONG")],
        {"f.txt": b"a LONG base"},
    ),
    Case("delete-delete", FILE, [("unlink", "f.txt")], [("unlink", "f.txt")], {}),
    Case(
        "create-create", [],
        [("write", "n.txt", b"theirs")], [("write", "n.txt", b"ours")],
        {"n.txt": b"theirs", copy_of("n.txt"): b"ours"},
    ),
    Case(
        "create-create-equal", [],
        [("write", "n.txt", b"same")], [("write", "n.txt", b"same")],
        {"n.txt": b"same"},
    ),
    Case(
        "create-create-empty", [],
        [("write", "n.txt", b"")], [("write", "n.txt", b"")],
        {"n.txt": b""},
    ),
    Case(
        "symlink-symlink", [],
        [("symlink", "l", "there")], [("symlink", "l", "elsewhere")],
        {"l": b"there", copy_of("l"): b"elsewhere"},
    ),
    Case(
        "symlink-symlink-equal", [],
        [("symlink", "l", "there")], [("symlink", "l", "there")],
        {"l": b"there"},
    ),
    Case(
        "rename-rename-of-one-file", FILE,
        [("rename", "f.txt", "theirs.txt")], [("rename", "f.txt", "ours.txt")],
        {"theirs.txt": b"base", "ours.txt": b"base"},  # one file under two names
    ),
    Case(
        "rename-rename-equal", FILE,
        [("rename", "f.txt", "g.txt")], [("rename", "f.txt", "g.txt")],
        {"g.txt": b"base"},
    ),
    Case(
        "rename-rename-to-one-name", [("write", "x", b"x"), ("write", "y", b"y")],
        [("rename", "x", "n.txt")], [("rename", "y", "n.txt")],
        {"n.txt": b"x", copy_of("n.txt"): b"y"},
    ),
    Case(
        "rename-rename-over-one-file",
        [("write", "x", b"x"), ("write", "y", b"y"), ("write", "n.txt", b"old")],
        [("rename", "x", "n.txt")], [("rename", "y", "n.txt")],
        {"n.txt": b"x", copy_of("n.txt"): b"y"},
    ),
    Case(
        "rename-rename-of-one-folder", FOLDER_AND_FILE,
        [("rename", "d", "theirs")], [("rename", "d", "ours")],
        {"theirs": None, "theirs/f": b"base"},  # a folder has one name: the first
    ),
    Case(
        "rename-edit", FILE,
        [("rename", "f.txt", "g.txt")], [("write", "f.txt", b"edited")],
        {"g.txt": b"edited"},
    ),
    Case(
        "edit-rename", FILE,
        [("write", "f.txt", b"edited")], [("rename", "f.txt", "g.txt")],
        {"g.txt": b"edited"},
    ),
    Case(
        "edit-rename-and-edit", FILE,
        [("write", "f.txt", b"theirs")],
        [("rename", "f.txt", "g.txt"), ("write", "g.txt", b"ours")],
        {"g.txt": b"theirs", copy_of("g.txt"): b"ours"},
    ),
    Case(
        "edit-renamed-over", [*FILE, ("write", "g.txt", b"g")],
        [("write", "g.txt", b"edited")], [("rename", "f.txt", "g.txt")],
        {"g.txt": b"edited", copy_of("g.txt"): b"base"},
    ),
    Case(
        "edit-and-delete-renamed-over", [*FILE, ("write", "g.txt", b"g")],
        [("unlink", "f.txt"), ("write", "g.txt", b"edited")], [("rename", "f.txt", "g.txt")],
        {"g.txt": b"edited", copy_of("g.txt"): b"base"},
    ),
    Case(
        "renamed-over-edit", [*FILE, ("write", "g.txt", b"g")],
        [("rename", "f.txt", "g.txt")], [("write", "g.txt", b"edited")],
        {"g.txt": b"base", copy_of("g.txt"): b"edited"},
    ),
    Case(
        "rename-delete", FILE,
        [("rename", "f.txt", "g.txt")], [("unlink", "f.txt")],
        {"g.txt": b"base"},
    ),
    Case(
        "delete-rename", FILE,
        [("unlink", "f.txt")], [("rename", "f.txt", "g.txt")],
        {"g.txt": b"base"},
    ),
    Case(
        "link-delete", FILE,
        [("link", "f.txt", "g.txt")], [("unlink", "f.txt")],
        {"g.txt": b"base"},
    ),
    Case(
        "delete-link", FILE,
        [("unlink", "f.txt")], [("link", "f.txt", "g.txt")],
        {"g.txt": b"base"},
    ),
    Case(
        "delete-two-links", FILE,
        [("unlink", "f.txt")], [("link", "f.txt", "g.txt"), ("link", "f.txt", "h.txt")],
        {"g.txt": b"base", "h.txt": b"base"},
    ),
    Case(
        "delete-link-and-edit", FILE,
        [("unlink", "f.txt")], [("link", "f.txt", "g.txt"), ("write", "g.txt", b"edited")],
        {"g.txt": b"edited"},
    ),
    Case(
        "delete-edit-of-two-links", [*FILE, ("link", "f.txt", "g.txt")],
        [("unlink", "f.txt"), ("unlink", "g.txt")], [("write", "g.txt", b"edited")],
        {"f.txt": b"edited", "g.txt": b"edited"},
    ),
    Case(
        "move-into-a-deleted-folder", [*FILE, ("mkdir", "d")],
        [("rmdir", "d")], [("rename", "f.txt", "d/f.txt")],
        {"d": None, "d/f.txt": b"base"},
    ),
    Case(
        "deleted-a-folder-moved-into", [*FILE, ("mkdir", "d")],
        [("rename", "f.txt", "d/f.txt")], [("rmdir", "d")],
        {"d": None, "d/f.txt": b"base"},
    ),
    Case(
        "create-in-a-deleted-folder", [("mkdir", "d")],
        [("rmdir", "d")], [("write", "d/n", b"new")],
        {"d": None, "d/n": b"new"},
    ),
    Case(
        "deleted-a-folder-created-in", [("mkdir", "d")],
        [("write", "d/n", b"new")], [("rmdir", "d")],
        {"d": None, "d/n": b"new"},
    ),
    Case(
        "move-a-folder-into-a-deleted-one", TWO_FOLDERS,
        [("unlink", "b/f"), ("rmdir", "b")], [("rename", "a", "b/a")],
        {"b": None, "b/a": None, "b/a/f": b"of a"},
    ),
    Case(
        "folder-cycle", TWO_FOLDERS,
        [("rename", "a", "b/a")], [("rename", "b", "a/b")],
        {"b": None, "b/f": b"of b", "b/a": None, "b/a/f": b"of a"},
    ),
    Case(
        "folder-cycle-through-a-new-folder", TWO_FOLDERS,
        [("rename", "a", "b/a")],
        [
            ("mkdir", "a/new"), ("write", "a/new/mine", b"mine"), ("rename", "b", "a/new/b"),
        ],
        {
            "b": None, "b/f": b"of b", "b/a": None, "b/a/f": b"of a",
            "b/a/new": None, "b/a/new/mine": b"mine",
        },
    ),
    Case(
        "folder-cycle-with-a-file-put-into-it", TWO_FOLDERS,
        [("rename", "a", "b/a")],
        [("rename", "b", "a/b"), ("write", "a/b/n", b"new")],
        {"b": None, "b/f": b"of b", "b/n": b"new", "b/a": None, "b/a/f": b"of a"},
    ),
    Case(
        "mkdir-mkdir", [],
        [("mkdir", "d"), ("write", "d/theirs", b"1")], [("mkdir", "d"), ("write", "d/ours", b"2")],
        {"d": None, "d/theirs": b"1", "d/ours": b"2"},
    ),
    Case(
        "mkdir-mkdir-deep", [],
        [("mkdir", "d"), ("mkdir", "d/e"), ("write", "d/e/n.txt", b"1")],
        [("mkdir", "d"), ("mkdir", "d/e"), ("write", "d/e/n.txt", b"2"), ("write", "d/e/m", b"3")],
        {
            "d": None, "d/e": None, "d/e/n.txt": b"1", "d/e/" + copy_of("n.txt"): b"2",
            "d/e/m": b"3",
        },
    ),
    Case(
        "mkdir-mkdir-same-files", [],
        [("mkdir", "d"), ("write", "d/n", b"1")], [("mkdir", "d"), ("write", "d/n", b"1")],
        {"d": None, "d/n": b"1"},
    ),
    Case(
        "file-folder", [],
        [("write", "n", b"file")], [("mkdir", "n"), ("write", "n/x", b"in it")],
        {"n": b"file", copy_of("n"): None, copy_of("n") + "/x": b"in it"},
    ),
    Case(
        "folder-file", [],
        [("mkdir", "n"), ("write", "n/x", b"in it")], [("write", "n", b"file")],
        {"n": None, "n/x": b"in it", copy_of("n"): b"file"},
    ),
    Case(
        "remove-folder-edit-in-it", FOLDER_AND_FILE,
        [("unlink", "d/f"), ("rmdir", "d")], [("write", "d/f", b"edited")],
        {"d": None, "d/f": b"edited"},
    ),
    Case(
        "edit-in-it-remove-folder", FOLDER_AND_FILE,
        [("write", "d/f", b"edited")], [("unlink", "d/f"), ("rmdir", "d")],
        {"d": None, "d/f": b"edited"},
    ),
    Case(
        "remove-tree-edit-in-it", DEEP_TREE,
        REMOVE_DEEP_TREE, [("write", "t/s/y", b"edited")],
        {"t": None, "t/s": None, "t/s/y": b"edited"},
    ),
    Case(
        "edit-in-it-remove-tree", DEEP_TREE,
        [("write", "t/s/y", b"edited")], REMOVE_DEEP_TREE,
        {"t": None, "t/s": None, "t/s/y": b"edited"},
    ),
    Case(
        "remove-tree-remove-tree", DEEP_TREE, REMOVE_DEEP_TREE, REMOVE_DEEP_TREE, {},
    ),
    Case(
        "remove-tree-move-it", DEEP_TREE,
        REMOVE_DEEP_TREE, [("rename", "t", "u"), ("write", "u/s/y", b"edited")],
        {"u": None, "u/s": None, "u/s/y": b"edited"},
    ),
    Case(
        "replace-by-folder-edit", FILE,
        [("unlink", "f.txt"), ("mkdir", "f.txt")], [("write", "f.txt", b"edited")],
        {"f.txt": None, copy_of("f.txt"): b"edited"},
    ),
    Case(
        "unrelated", [*FILE, *FOLDER_AND_FILE],
        [("write", "f.txt", b"edited"), ("mkdir", "e")],
        [("rename", "d/f", "d/g"), ("write", "n", b"new")],
        {"f.txt": b"edited", "e": None, "d": None, "d/g": b"base", "n": b"new"},
    ),
]  # fmt: skip


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        world.shared_cache = {}
        yield world


async def begin(world: World, base: Sequence[Step]) -> tuple[Device, Device]:
    """Two devices that both have `base`, and are cut off."""
    first, second = await world.device("first"), await world.device("second")
    await do(first, base)
    await world.quiet()
    first.transport.is_cut = second.transport.is_cut = True
    return first, second


async def do(device: Device, steps: Sequence[Step]) -> None:
    for method, *arguments in steps:
        await getattr(device, method)(*arguments)


async def meet(world: World, first: Device, second: Device) -> dict[str, bytes | None]:
    """Bring the devices together, `first` first; return what both of them show."""
    first.transport.is_cut = False
    await first.settled()
    second.transport.is_cut = False
    await world.quiet()
    trees = [await device.tree() for device in (first, second)]
    assert trees[0] == trees[1]
    assert not any(device.state.parking.codes for device in (first, second))
    return trees[0]


@pytest.mark.parametrize("when", ["planned", "unplanned", "killed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_both_devices_show(
    autojump_clock: MockClock, world: World, case: Case, when: str
) -> None:
    """`when`: the other side's change comes in after the device planned what to send (and tries in
    vain), before that, or after it was killed and started again."""
    first, second = await begin(world, case.base)
    await do(first, case.first)
    if when == "unplanned":
        first.transport.is_cut = False
        await first.settled()
        await do(second, case.second)
        second.transport.is_cut = False
        second.sync.hint()
    else:
        await do(second, case.second)
        await trio.sleep(5)
    if when == "killed":
        first.transport.is_cut = False
        await first.settled()
        await second.kill()
        second.transport.is_cut = False
        await second.start()
    assert await meet(world, first, second) == case.shown


async def test_one_file_under_both_names(autojump_clock: MockClock, world: World) -> None:
    first, second = await begin(world, FILE)
    await first.rename("f.txt", "theirs.txt")
    await second.rename("f.txt", "ours.txt")
    await meet(world, first, second)
    for device in (first, second):
        assert await device.find("ours.txt") == await device.find("theirs.txt")


# Attributes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_reversed", [False, True])
async def test_a_mode_does_not_fight_a_write(
    autojump_clock: MockClock, world: World, is_reversed: bool
) -> None:
    devices = await begin(world, FILE)
    writer, setter = reversed(devices) if is_reversed else devices
    await trio.sleep(5)
    await writer.write("f.txt", b"edited")
    written_ns = (await writer.stat("f.txt")).mtime_ns
    await setter.chmod("f.txt", 0o600)
    assert await meet(world, *devices) == {"f.txt": b"edited"}
    for device in devices:
        found = await device.stat("f.txt")
        assert found.mode & 0o7777 == 0o600
        assert found.mtime_ns == written_ns, "a mode brings no old time back"


@pytest.mark.parametrize("is_reversed", [False, True])
async def test_a_mode_does_not_fight_a_time(
    autojump_clock: MockClock, world: World, is_reversed: bool
) -> None:
    devices = await begin(world, FILE)
    one, other = reversed(devices) if is_reversed else devices
    await one.chmod("f.txt", 0o600)
    await other.utime("f.txt", 1_000_000_000)
    await meet(world, *devices)
    for device in devices:
        found = await device.stat("f.txt")
        assert (found.mode & 0o7777, found.mtime_ns) == (0o600, 1_000_000_000)


@pytest.mark.parametrize("is_reversed", [False, True])
async def test_a_folders_mode_does_not_fight_what_is_put_into_it(
    autojump_clock: MockClock, world: World, is_reversed: bool
) -> None:
    devices = await begin(world, [("mkdir", "d")])
    one, other = reversed(devices) if is_reversed else devices
    await one.chmod("d", 0o700)
    await other.write("d/n", b"new")
    await meet(world, *devices)
    for device in devices:
        assert (await device.stat("d")).mode & 0o7777 == 0o700


async def test_of_two_modes_the_later_commit_stands(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await begin(world, FILE)
    await first.chmod("f.txt", 0o640)
    await second.chmod("f.txt", 0o600)
    await meet(world, first, second)
    for device in (first, second):
        assert (await device.stat("f.txt")).mode & 0o7777 == 0o600


async def test_a_mode_set_back_meanwhile_is_a_change(
    autojump_clock: MockClock, world: World
) -> None:
    """What a device sent of its own is no other side's change when it comes back."""
    first, second = await begin(world, FILE)
    await second.chmod("f.txt", 0o600)
    second.transport.is_cut = False
    second.transport.lose_answers = 100
    await trio.sleep(5)  # 0600 is on the server, and the device does not know it yet
    assert second.transport.lose_answers < 100
    await second.chmod("f.txt", 0o644)
    second.transport.lose_answers = 0
    await meet(world, first, second)
    for device in (first, second):
        assert (await device.stat("f.txt")).mode & 0o7777 == 0o644


async def test_a_time_set_back_behind_a_write_stands(
    autojump_clock: MockClock, world: World
) -> None:
    """As programs that copy with times do: the content is sent before its time is set back."""
    first, second = await begin(world, FILE)
    old_ns = (await second.stat("f.txt")).mtime_ns
    second.transport.is_cut = False
    second.transport.lose_answers = 100
    await second.write("f.txt", b"edited")
    await trio.sleep(5)  # the content is on the server, and the device does not know it yet
    assert second.transport.lose_answers < 100
    await second.utime("f.txt", old_ns)
    second.transport.lose_answers = 0
    await meet(world, first, second)
    for device in (first, second):
        assert (await device.stat("f.txt")).mtime_ns == old_ns


async def test_a_mode_of_a_removed_file_brings_nothing_back(
    autojump_clock: MockClock, world: World
) -> None:
    first, second = await begin(world, FILE)
    await first.unlink("f.txt")
    await second.chmod("f.txt", 0o600)
    assert await meet(world, first, second) == {}
