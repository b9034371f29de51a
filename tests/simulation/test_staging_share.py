"""The disk's share for what is not sent yet: slower before its end while online, ENOSPC at it."""

import os
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mountfs.core.back_pressure import LONGEST_S, pause_s
from mountfs.errors import StagingFull
from simulation.world import CALLER, Device, open_world

MIB = 1 << 20
SHARE = 1 * MIB
PIECE = 32 * 1024


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [(0, 0.0), (75, 0.0), (80, LONGEST_S / 5), (100, LONGEST_S), (200, LONGEST_S)],
)
def test_the_pause_grows_from_three_quarters_on(waiting: int, expected: float) -> None:
    assert pause_s(waiting, 100) == pytest.approx(expected)


async def write_until_refused(device: Device, name: str, pieces: int) -> tuple[int, float]:
    """Write a file piece by piece; return how many were taken, and the longest that one took."""
    await device.write(name, b"")
    opened = await device.fs.open(await device.find(name), os.O_WRONLY, CALLER)
    taken, longest_s = 0, 0.0
    try:
        for number in range(pieces):
            began_s = trio.current_time()
            await device.fs.write(opened.handle, number * PIECE, bytes([number + 1]) * PIECE)
            longest_s = max(longest_s, trio.current_time() - began_s)
            taken += 1
    except StagingFull:
        pass
    await device.fs.release(opened.handle)
    return taken, longest_s


def content_of(pieces: int) -> bytes:
    return b"".join(bytes([number + 1]) * PIECE for number in range(pieces))


async def test_offline_the_share_ends_without_delay_and_nothing_is_lost(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_world(tmp_path) as world:
        here, there = world.new_device("laptop"), await world.device("desktop")
        here.staging_limit_bytes = SHARE
        await here.start()
        await world.quiet()
        here.transport.is_cut = True
        here.sync.hint()
        await trio.sleep(30)
        assert not here.sync.is_online
        taken, longest_s = await write_until_refused(here, "first", 20)
        more, _ = await write_until_refused(here, "second", 20)
        assert (taken, longest_s) == (20, 0.0)
        assert (taken + more) * PIECE <= SHARE < (taken + more + 1) * PIECE
        await here.kill()
        await here.start()
        assert await here.read("first") == content_of(taken)
        assert await here.read("second") == content_of(more)
        with pytest.raises(StagingFull):
            await here.write("third", b"x" * PIECE)
        inode = await here.find("second")
        await here.unlink("second")
        here.fs.forget([(inode, 1000)])  # as the kernel does with what nobody has open
        again, _ = await write_until_refused(here, "fourth", 4)
        assert again == 4, "what is removed makes room"
        here.transport.is_cut = False
        await world.quiet()
        assert await there.read("first") == content_of(taken)
        assert await there.read("fourth") == content_of(again)
        assert (await write_until_refused(here, "fifth", 8))[0] == 8


async def test_online_a_program_that_outruns_the_link_is_slowed_down(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_world(tmp_path) as world:
        here = world.new_device("laptop")
        here.staging_limit_bytes = SHARE
        await here.start()
        await world.quiet()
        assert here.sync.is_online
        before, longest_s = await write_until_refused(here, "quick", 20)
        assert (before, longest_s) == (20, 0.0)
        # Over and over in one place: it waits as the few bytes that it is.
        opened = await here.fs.open(await here.find("quick"), os.O_WRONLY, CALLER)
        began_s = trio.current_time()
        for _ in range(100):
            await here.fs.write(opened.handle, 0, b"again" * 1000)
        assert trio.current_time() - began_s < 1.0
        await here.fs.release(opened.handle)
        _, longest_s = await write_until_refused(here, "more", 11)
        assert 0.2 < longest_s <= LONGEST_S
        await world.quiet()
