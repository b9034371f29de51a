"""Clocks that are years wrong, on devices and on the server: odd times, and nothing else."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from simulation.world import Device, TrioClock, World, open_world

NOW_NS = TrioClock.START_NS
DAY_NS = 24 * 3600 * 10**9


def years(year: int) -> int:
    """Return by how much a clock is wrong that shows such a year."""
    return int(datetime(year, 6, 1, tzinfo=UTC).timestamp()) * 10**9 - NOW_NS


def simulate(folder: Path, scenario: Callable[[World, TrioClock], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = TrioClock()
        async with open_world(folder, clock=clock) as world:
            await scenario(world, clock)

    trio.run(run, clock=MockClock(autojump_threshold=0))


async def two_devices(world: World) -> tuple[Device, Device]:
    here, there = await world.device("laptop"), await world.device("desktop")
    await here.write("letter", b"the first of it")
    await here.write("plan", bytes(range(256)) * 10)
    await world.quiet()
    return here, there


@pytest.mark.parametrize(("year", "shown"), [(1970, "1970"), (2100, "2100")])
def test_a_device_of_another_year_keeps_both_sides_under_a_valid_date(
    tmp_path: Path, year: int, shown: str
) -> None:
    async def scenario(world: World, clock: TrioClock) -> None:
        here, there = await two_devices(world)
        here.clock.wrong_by_ns = years(year)
        here.transport.is_cut = True
        await here.write("plan", b"\0ours")
        await here.write("new", b"made in another year")
        await here.rename("letter", "kept")
        await there.write("plan", b"\0theirs")
        await there.settled()
        here.clock.wrong_by_ns = years(1971)  # and set back while it waits
        here.transport.is_cut = False
        await world.quiet()
        found = await here.tree()
        assert found == await there.tree()
        copies = [name for name in found if "conflict" in name]
        assert len(copies) == 1
        assert re.search(r"\(conflict of laptop, 1971-\d\d-\d\d\)", copies[0])
        assert {found["plan"], found[copies[0]]} == {b"\0ours", b"\0theirs"}
        assert found["new"] == b"made in another year"
        made_at = datetime.fromtimestamp((await there.stat("new")).mtime_ns / 1e9, UTC)
        assert f"{made_at:%Y}" == shown
        assert found["kept"] == b"the first of it"

    simulate(tmp_path, scenario)


@pytest.mark.parametrize("year", [1970, 2040])
def test_a_server_of_another_year_for_an_hour_loses_nothing(tmp_path: Path, year: int) -> None:
    """What was young looks 14 years old, and is let go of: devices build their mirrors anew, with
    what was written on them meanwhile."""

    async def scenario(world: World, clock: TrioClock) -> None:
        here, there = await two_devices(world)
        there.transport.is_cut = True
        await there.write("plan", b"\0written without the server")
        await there.unlink("letter")
        await here.write("letter", b"the second of it")
        await here.write("gone", b"short-lived")
        await here.settled()
        await here.unlink("gone")
        await here.settled()
        clock.wrong_by_ns = years(year)
        await world.server.reap_uploads()
        await world.server.compact_journal()
        await here.write("wrong", b"written while the clock is wrong")
        await trio.sleep(3600)
        clock.wrong_by_ns = 0
        await world.server.reap_uploads()
        await world.server.compact_journal()
        there.transport.is_cut = False
        await world.quiet()
        found = await here.tree()
        assert found == await there.tree()
        assert found == {
            "plan": b"\0written without the server",
            "letter": b"the second of it",
            "wrong": b"written while the clock is wrong",
        }

    simulate(tmp_path, scenario)
