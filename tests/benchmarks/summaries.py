"""From many samples to one number. Pure."""

import math
import statistics
from collections.abc import Sequence


def median(samples: Sequence[float]) -> float:
    """Return the middle of `samples` (not empty), or the mean of the middle two."""
    return statistics.median(samples)


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the least sample that `share` (0 < share ≤ 1) of `samples` do not exceed.

    A value that occurred, never an interpolation: of 40 samples p99 is the worst one.
    """
    assert samples
    assert 0 < share <= 1
    return sorted(samples)[math.ceil(share * len(samples)) - 1]
