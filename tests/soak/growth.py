"""Ceilings and growth: what a run's measurements say. Pure."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import median
from typing import Final, NamedTuple

GROWTH_SAMPLES_MIN: Final = 4
WARM_UP_OPERATIONS: Final = 15_000
"""Until caches are full, buffers have their size and logs their length. A shorter run is held
against ceilings only."""


class Bound(NamedTuple):
    """What one measurement may be.

    `ceiling`: never more than this. `growth`: no more than this for each 1,000 operations, by the
    slope over the second half of the run. `slack`: a rise over the second half of less than this
    is no growth yet, whatever its slope: it is what the measurement wavers by. None: unbounded.
    """

    reason: str
    ceiling: float | None = None
    growth: float | None = None
    slack: float = 0.0


class Sample(NamedTuple):
    """Measurements by name, behind `operations` operations."""

    operations: int
    values: Mapping[str, float]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the median slope of all pairs of points (Theil-Sen): outliers do not count. Pure."""
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x1 != x2]
    return median(slopes) if slopes else 0.0


def second_half(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Return what comes behind the warm-up. Pure."""
    if not samples:
        return []
    begin = max(samples[-1].operations / 2, WARM_UP_OPERATIONS)
    return [sample for sample in samples if sample.operations >= begin]


def growth_of(name: str, samples: Sequence[Sample]) -> tuple[float, float]:
    """Return (slope for each 1,000 operations, rise by that slope) over the second half. Pure."""
    later = [(s.operations, s.values[name]) for s in second_half(samples) if name in s.values]
    if len(later) < GROWTH_SAMPLES_MIN:
        return 0.0, 0.0
    by_operation = slope(later)
    return by_operation * 1000, by_operation * (later[-1][0] - later[0][0])


def find_faults(bounds: Mapping[str, Bound], samples: Sequence[Sample]) -> list[str]:
    """Return a line for every bound that does not hold. Pure."""
    faults = []
    for name, bound in bounds.items():
        found = [
            (sample.values[name], sample.operations) for sample in samples if name in sample.values
        ]
        if not found:
            faults.append(f"{name}: was never measured")
            continue
        most, at = max(found)
        if bound.ceiling is not None and most > bound.ceiling:
            faults.append(
                f"{name}: {_text(most)} behind {at} operations, more than {_text(bound.ceiling)} "
                f"({bound.reason})"
            )
        if bound.growth is None:
            continue
        by_1000, rise = growth_of(name, samples)
        if by_1000 > bound.growth and rise > bound.slack:
            faults.append(
                f"{name}: grows by {_text(by_1000)} for each 1,000 operations, by {_text(rise)} "
                f"over the second half; allowed are {_text(bound.growth)} ({bound.reason})"
            )
    return faults


def _text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
