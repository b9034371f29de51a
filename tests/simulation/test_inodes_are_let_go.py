"""What a device keeps of inodes goes when their files are gone and nobody holds them."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from trio.testing import MockClock

from mountfs.sync import pulling
from mountfs.vfs.interface import AttributeChanges
from simulation.world import CALLER, Device, World, open_world


@pytest.fixture(params=[False, True], ids=["small", "large"])
def arrivals(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server tells is applied at once, or gathered on disk."""
    if request.param:
        monkeypatch.setattr(pulling, "SMALL_ROWS_MAX", -1)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


def rows_of(device: Device) -> tuple[int, int]:
    """Return how many rows there are of inodes, and of access times."""
    return tuple(
        device.state.database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("inode_alias", "access_time")
    )


async def save(device: Device, content: bytes) -> None:
    """As an editor does; the kernel forgets each inode once it has no name and is closed."""
    try:
        old = await device.find("file")
    except Exception:
        old = None
    await device.write("file.tmp", content)
    await device.rename("file.tmp", "file")
    read_at = AttributeChanges(atime_ns=10**18)
    await device.fs.set_attributes(await device.find("file"), read_at, None, CALLER)
    if old is not None:
        device.fs.forget([(old, 1_000)])


@pytest.mark.usefixtures("arrivals")
@pytest.mark.parametrize("remover_name", ["a", "b"])
async def test_saved_and_removed_again_and_again_leaves_nothing(
    autojump_clock: MockClock, world: World, remover_name: str
) -> None:
    a, b = await world.device("a"), await world.device("b")
    for number in range(3):
        for content in (b"first", b"second"):
            await save(a, content + b" %d" % number)
            await world.quiet()
        assert rows_of(a) == (1, 1), "the program's inode lives on with the old node"
        kept = await a.find("file")
        remover = {"a": a, "b": b}[remover_name]
        await remover.unlink("file")
        await world.quiet()
        a.fs.forget([(kept, 1_000)])
        await world.quiet()
    assert rows_of(a)[0] == 0


@pytest.mark.usefixtures("arrivals")
async def test_an_open_file_keeps_its_inode(autojump_clock: MockClock, world: World) -> None:
    a = await world.device("a")
    await save(a, b"first")
    await world.quiet()
    await save(a, b"second")
    await world.quiet()
    inode = await a.find("file")
    opened = await a.fs.open(inode, os.O_RDONLY, CALLER)
    await a.unlink("file")
    a.fs.forget([(inode, 1_000)])
    await world.quiet()
    assert bytes(await a.fs.read(opened.handle, 0, 100)) == b"second"
    assert (await a.fs.get_attributes(inode)).nlink == 0
    await a.fs.release(opened.handle)
    await world.quiet()
    assert rows_of(a) == (0, 0)
