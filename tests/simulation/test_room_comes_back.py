"""What the server refused for want of room goes up by itself once there is room for it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from sqlalchemy import Connection, update
from trio.testing import MockClock

from backend_server.metadata.tables import drives
from backend_server.protocol.errors import ErrorCode
from simulation.world import Device, World, open_world

LIMIT_BYTES = 60_000
ROOM_BYTES = 20_000
"""What is free once the ballast is gone: less than the edited file as a whole."""
FILE_BYTES = LIMIT_BYTES - ROOM_BYTES
BALLAST_BYTES = ROOM_BYTES - 1000


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:

        def limit(connection: Connection) -> None:
            connection.execute(update(drives).values(quota_limit=LIMIT_BYTES))

        await world.server.database.write(limit)
        yield world


async def _edit(device: Device) -> None:
    await device.patch("file", FILE_BYTES, b"e" * 2000)


async def _make(device: Device) -> None:
    await device.write("new", b"n" * 2000)


@pytest.mark.parametrize("is_announcing", [False, True], ids=["in the commit", "announced"])
@pytest.mark.parametrize("call", [_edit, _make], ids=["an edit", "a new file"])
async def test_a_refused_content_goes_up_once_there_is_room_for_what_it_adds(
    autojump_clock: MockClock, world: World, call: object, is_announcing: bool
) -> None:
    assert callable(call)
    here, there = await world.device("here"), await world.device("there")
    here.contents.is_announcing = is_announcing
    await here.write("file", b"f" * FILE_BYTES)
    await world.quiet()
    # The drive fills up elsewhere, which this device does not hear of before it has written.
    here.transport.is_cut = True
    await call(here)
    await there.write("ballast", b"b" * BALLAST_BYTES)
    assert await there.sync.sync_now() == []
    here.transport.is_cut = False
    await trio.sleep(120)
    assert set(here.state.parking.codes.values()) == {ErrorCode.QUOTA_EXCEEDED}
    await there.unlink("ballast")
    await world.come_to_rest()
    assert here.state.parking.codes == {}
    assert await there.tree() == await here.tree()
    assert "ballast" not in await here.tree()


async def test_what_has_no_room_yet_is_not_asked_for_again_and_again(
    autojump_clock: MockClock, world: World
) -> None:
    here, there = await world.device("here"), await world.device("there")
    await world.quiet()
    here.transport.is_cut = True
    await here.write("large", b"l" * (LIMIT_BYTES - 10_000))
    await there.write("ballast", b"b" * BALLAST_BYTES)
    await there.write("pebble", b"p" * 1000)
    assert await there.sync.sync_now() == []
    here.transport.is_cut = False
    await trio.sleep(120)
    commits_count = here.sync.commits_count
    await there.unlink("pebble")
    await trio.sleep(300)
    assert set(here.state.parking.codes.values()) == {ErrorCode.QUOTA_EXCEEDED}
    assert here.sync.commits_count == commits_count
