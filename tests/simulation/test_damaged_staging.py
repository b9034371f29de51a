"""Unsent bytes that are damaged are never committed, whatever else is."""

import os
from pathlib import Path

import pytest
from trio.testing import MockClock

from mountfs.errors import LocalStorageBroken
from simulation.world import Device, World, open_world

LARGE = b"written offline " * 2560  # more than is kept in a row


def staging_file(world: World, device: Device) -> Path:
    folder = world.folder / device.name / "staging"
    (found,) = [path for path in folder.iterdir() if path.name.isdigit()]
    return found


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [lambda path: os.truncate(path, 1000), Path.unlink, flip],
    ids=["cut off", "gone", "flipped"],
)
async def test_a_damaged_content_is_parked_and_the_rest_goes(
    autojump_clock: MockClock, tmp_path: Path, damage: object
) -> None:
    assert callable(damage)
    async with open_world(tmp_path) as world:
        world.shared_cache = {}
        here, there = await world.device("one"), await world.device("two")
        await here.write("letter", b"committed")
        await world.quiet()
        here.transport.is_cut = True
        await here.write("letter", LARGE)
        await here.write("other", b"another")
        await here.kill()
        damage(staging_file(world, here))
        here.transport.is_cut = False
        await here.start()
        with pytest.raises(LocalStorageBroken):
            await here.read("letter")
        parked = await here.sync.sync_now()
        (code,) = {here.state.parking.codes[node] for node in parked}
        assert "mountfs check" in code.replace("_", " ")
        there.sync.hint()
        await there.settled()
        assert await there.tree() == {"letter": b"committed", "other": b"another"}
        # Written anew as a whole, it is well again.
        await here.write("letter", b"written again")
        assert await here.read("letter") == b"written again"
        assert await here.sync.sync_now() == []
        there.sync.hint()
        await there.settled()
        assert await there.read("letter") == b"written again"
