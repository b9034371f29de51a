"""Random work of two devices under faults: both end alike, and nothing written is lost."""

import os
import random
from pathlib import Path

import pytest
from trio.testing import MockClock

from mountfs.state.conflict_copies import find_conflict_copies
from simulation.work import TEXT, Work
from simulation.world import open_world

SEEDS = range(int(os.environ.get("SIMULATION_SEEDS", "12")))
STEPS = 80


@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_is_lost(autojump_clock: MockClock, tmp_path: Path, seed: int) -> None:
    async with open_world(tmp_path) as world:
        world.shared_cache = {}
        devices = [await world.device("one"), await world.device("two")]
        chance = random.Random(seed)
        devices[0].is_merging = chance.random() < 0.8  # from its next start on
        work = Work(world, devices, chance)
        await devices[0].write(TEXT, b"".join(b"line %d\n" % number for number in range(20)))
        await world.quiet()
        for _ in range(STEPS):
            await work.step()
        for device in devices:
            device.transport.is_cut = device.transport.brings_no_blocks = False
        await world.come_to_rest()
        await world.quiet()
        first, second = [await device.tree() for device in devices]
        assert first == second
        kept = {
            line
            for content in first.values()
            for line in (content or b"").splitlines(keepends=True)
        }
        assert work.written - work.given_up <= kept
        for device in devices:
            assert not device.sync.pending_count
            assert not device.state.disputes.bases
        copies = [find_conflict_copies(device.state) for device in devices]
        assert copies[0] == copies[1]


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_is_done_in_turn_is_no_conflict(
    autojump_clock: MockClock, tmp_path: Path, seed: int
) -> None:
    async with open_world(tmp_path) as world:
        world.shared_cache = {}
        devices = [await world.device("one"), await world.device("two")]
        work = Work(world, devices, random.Random(seed))
        await devices[0].write(TEXT, b"line\n" * 3)
        for _ in range(STEPS // 2):
            await work.step()
            for device in devices:
                device.transport.is_cut = device.transport.brings_no_blocks = False
            await world.quiet()
            first, second = [await device.tree() for device in devices]
            assert first == second
            assert not any("conflict of" in path for path in first)
        assert not any(device.contents.merges_count for device in devices)
        assert work.written - work.given_up <= {
            line for content in first.values() for line in (content or b"").splitlines(True)
        }
