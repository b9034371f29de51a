"""Three devices and a server through storms: see `storm`. Longer: `python tests/simulation`."""

import os
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from simulation.seeds import kept_seeds
from simulation.soak import TURNS_EVERY
from simulation.storm import Storm, weather

SEEDS = sorted({*range(int(os.environ.get("STORM_SEEDS", "8"))), *kept_seeds()})


def storm_of(seed: int) -> Storm:
    """As the soak makes it."""
    return Storm(seed, is_taking_turns=seed % TURNS_EVERY == TURNS_EVERY - 1)


def go_through(storm: Storm, folder: Path) -> None:
    trio.run(weather, storm, folder, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_and_all_end_alike(seed: int, tmp_path: Path) -> None:
    go_through(storm_of(seed), tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_who_takes_turns_has_no_conflicts(seed: int, tmp_path: Path) -> None:
    go_through(Storm(seed, is_taking_turns=True), tmp_path)


def test_a_seed_is_a_trace(tmp_path: Path) -> None:
    traces = []
    for name in ("first", "second"):
        storm = Storm(1, steps=40)
        go_through(storm, tmp_path / name)
        traces.append(storm.trace)
    assert traces[0] == traces[1]
    assert len(traces[0]) > 100
