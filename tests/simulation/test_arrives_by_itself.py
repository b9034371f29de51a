"""One call, alone, on a drive where nothing else happens: it reaches the others without a sync.

Most calls come in company, and what is left behind then goes along with the next. So each kind is
made here when everything is at rest, and nobody asks for it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from backend_server.services.compact_journal import CompactJournal
from mountfs.core.deferral import BURST_MAX_S, VACATED_S
from simulation.world import Device, World, open_world

LATEST_S = BURST_MAX_S + VACATED_S + 1.0
"""A burst at its longest, a name that may get a new file, and the way."""
_LATER_MS = 1_900_000_000_000

Call = Callable[[Device], Awaitable[None]]

CALLS: dict[str, Call] = {
    "create": lambda device: device.write("new", b""),
    "save": lambda device: device.write("new", b"text"),
    "write": lambda device: device.patch("file", 2, b"--"),
    "write large": lambda device: device.write("large", b"0123456789" * 50_000),
    "remove": lambda device: device.unlink("file"),
    "remove one of two names": lambda device: device.unlink("linked"),
    "remove a symlink": lambda device: device.unlink("symlink"),
    "rename": lambda device: device.rename("file", "renamed"),
    "rename over": lambda device: device.rename("file", "other"),
    "rename a folder": lambda device: device.rename("folder", "moved"),
    "move into a folder": lambda device: device.rename("file", "folder/file"),
    "mkdir": lambda device: device.mkdir("new"),
    "rmdir": lambda device: device.rmdir("empty"),
    "symlink": lambda device: device.symlink("new", "target"),
    "link": lambda device: device.link("file", "new"),
    "chmod": lambda device: device.chmod("file", 0o600),
    "utime": lambda device: device.utime("file", 10**18),
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


async def _make_tree(device: Device) -> None:
    for path in ("file", "other", "two names"):
        await device.write(path, path.encode())
    await device.link("two names", "linked")
    await device.symlink("symlink", "file")
    await device.mkdir("empty")
    await device.mkdir("folder")
    await device.write("folder/inside", b"inside")


async def _shown(device: Device) -> dict[str, object]:
    tree = await device.tree()
    shown: dict[str, object] = {}
    for path, content in tree.items():
        attributes = await device.stat(path)
        shown[path] = (content, attributes.mode, attributes.nlink, attributes.mtime_ns)
    return shown


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_call_alone_arrives(autojump_clock: MockClock, world: World, call: Call) -> None:
    here, there = await world.device("here"), await world.device("there")
    await _make_tree(here)
    await world.quiet()
    before = await _shown(there)
    await call(here)
    await trio.sleep(LATEST_S)
    assert here.sync.pending_count == 0, "nothing waits for another change to take it along"
    assert await _shown(there) == await _shown(here) != before


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_call_alone_arrives_that_was_made_offline(
    autojump_clock: MockClock, world: World, call: Call
) -> None:
    here, there = await world.device("here"), await world.device("there")
    await _make_tree(here)
    await world.quiet()
    here.transport.is_cut = True
    await call(here)
    await trio.sleep(300)
    here.transport.is_cut = False
    await world.come_to_rest()
    assert await _shown(there) == await _shown(here)


@pytest.mark.parametrize("is_forgotten", [False, True])
@pytest.mark.parametrize("name", ["a file", "a folder"])
async def test_what_was_made_and_removed_elsewhere_before_the_answer_came_is_no_work_left(
    autojump_clock: MockClock, world: World, name: str, *, is_forgotten: bool
) -> None:
    """`is_forgotten`: the server keeps no record of the removal; only the node's id stays taken."""
    here, there = await world.device("here"), await world.device("there")
    await world.quiet()
    here.transport.lose_answers = 1000
    await (here.mkdir(name) if name == "a folder" else here.write(name, b""))
    await trio.sleep(60)
    there.sync.hint()
    await trio.sleep(1)
    assert list(await there.tree()) == [name], "it was made, and only the answer is lost"
    await (there.rmdir(name) if name == "a folder" else there.unlink(name))
    await there.sync.sync_now()
    if is_forgotten:
        compact = CompactJournal(world.server.database, clock_ms=lambda: _LATER_MS, keep_ms=0)
        assert await compact()
    # Thrown out, so that nobody knows any more what it sent; it logs in as another device.
    await here.kill()
    here.forget_login()
    here.transport.lose_answers = 0
    await here.start()
    await world.come_to_rest()
    # A file may have been written to since, for all that is known: it is made once more.
    assert await here.tree() == await there.tree() == ({} if name == "a folder" else {name: b""})
