"""What the soak calls growth, and how it cuts a day into rounds."""

import random
from collections import Counter

import pytest

from soak.day import DAY, ROUNDS_MIN, plan_day
from soak.growth import WARM_UP_OPERATIONS, Bound, Sample, find_faults, growth_of, slope

MIB = 1 << 20
BOUNDS = {"memory": Bound("a test", ceiling=300 * MIB, growth=MIB / 4, slack=5 * MIB)}


def samples(*values: float, each: int = 2_000) -> list[Sample]:
    return [
        Sample(WARM_UP_OPERATIONS + number * each, {"memory": value})
        for number, value in enumerate(values)
    ]


def test_a_leak_below_the_noise_of_single_samples_is_found() -> None:
    chance = random.Random(1)
    leak = [(100 + number + chance.uniform(-3, 3)) * MIB for number in range(40)]
    assert len(find_faults(BOUNDS, samples(*leak))) == 1
    flat = [(100 + chance.uniform(-3, 3)) * MIB for _ in range(40)]
    assert find_faults(BOUNDS, samples(*flat)) == []


def test_what_fills_in_the_first_half_and_one_outlier_are_no_growth() -> None:
    filling = [(20 + 10 * number) * MIB for number in range(10)]
    full = [120.0 * MIB] * 20
    full[7] = 200.0 * MIB
    assert find_faults(BOUNDS, samples(*filling, *full)) == []


def test_a_ceiling_holds_for_every_sample_of_a_short_run_too() -> None:
    short = [
        Sample(100 * number, {"memory": value}) for number, value in enumerate((1.0, 400 * MIB))
    ]
    [fault] = find_faults(BOUNDS, short)
    assert "behind 100 operations" in fault
    assert growth_of("memory", short) == (0.0, 0.0)


def test_what_is_never_measured_is_a_fault() -> None:
    assert find_faults(BOUNDS, []) == ["memory: was never measured"]


def test_the_slope_of_a_line() -> None:
    assert slope([(0, 1), (10, 21), (20, 41), (30, 61), (40, 1_000)]) == pytest.approx(2.0)


def test_a_day_has_what_it_says_evenly() -> None:
    rounds = plan_day(24, 7, devices=4)
    done = Counter(task for one in rounds for tasks in one for task in tasks)
    assert done == Counter(DAY)
    sizes = [sum(map(len, one)) for one in rounds]
    assert max(sizes) < 1.1 * min(sizes)
    assert plan_day(24, 7, devices=4) == rounds
    assert plan_day(24, 8, devices=4) != rounds


def test_an_hour_has_a_bit_of_everything() -> None:
    rounds = plan_day(0.1, 1, devices=2)
    assert len(rounds) == ROUNDS_MIN
    assert {task for one in rounds for tasks in one for task in tasks} == set(DAY)
