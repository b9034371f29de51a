"""How long to wait before the server is asked again."""

import random
from typing import Final

BACKOFF_MIN_S: Final = 0.2
BACKOFF_MAX_S: Final = 20.0
_DOUBLINGS_MAX: Final = 10


def backoff_s(failures: int, jitter: random.Random) -> float:
    """Return the wait behind so many failures in a row: doubling, bounded, and half of it drawn,
    so that devices that lost the same server do not come back in step."""
    longest_s = min(BACKOFF_MIN_S * 2.0 ** min(failures, _DOUBLINGS_MAX), BACKOFF_MAX_S)
    return longest_s * jitter.uniform(0.5, 1.0)
