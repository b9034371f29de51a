"""What the server refused for want of room goes up by itself when room comes, also where little is
needed, and is not tried again and again where none comes."""

import os
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from backend_server.protocol.errors import ErrorCode
from simulation.world import Device, World, open_world

QUOTA_BYTES = 100_000
BASE_BYTES = 40_000
GROWTH_BYTES = 2_000


async def _refused(world: World, *, is_announcing: bool) -> tuple[Device, Device, bytes]:
    """One device made its file longer, while the other took the room for it."""
    here, there = await world.device("here"), await world.device("there")
    here.is_announcing = here.contents.is_announcing = is_announcing
    content = os.urandom(BASE_BYTES + GROWTH_BYTES)
    await here.write("ours", content[:BASE_BYTES])
    await world.quiet()
    here.transport.is_cut = True
    await here.patch("ours", BASE_BYTES, content[BASE_BYTES:])
    await there.write("theirs", os.urandom(QUOTA_BYTES - BASE_BYTES - GROWTH_BYTES // 2))
    await there.settled()
    here.transport.is_cut = False
    here.sync.hint()
    await trio.sleep(120)
    assert list(here.state.parking.codes.values()) == [ErrorCode.QUOTA_EXCEEDED]
    return here, there, content


@pytest.mark.parametrize("is_announcing", [False, True], ids=["in the commit", "announced"])
async def test_an_edit_needs_room_for_its_growth_only(
    autojump_clock: MockClock, tmp_path: Path, is_announcing: bool
) -> None:
    async with open_world(tmp_path, quota_bytes=QUOTA_BYTES) as world:
        here, there, content = await _refused(world, is_announcing=is_announcing)
        await there.write("theirs", b"a tenth" * 5_000)
        await world.come_to_rest()
        assert not here.state.parking.codes
        assert await there.read("ours") == content


async def test_where_no_room_comes_nothing_is_tried(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path, quota_bytes=QUOTA_BYTES) as world:
        here, there, content = await _refused(world, is_announcing=False)
        commits = here.sync.commits_count
        await there.chmod("theirs", 0o600)
        await there.settled()
        await trio.sleep(600)
        assert here.sync.commits_count == commits
        assert await here.read("ours") == content
