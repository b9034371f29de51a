"""How often somebody may try, by key: a bucket of tries that refills.

Memory is bounded: of too many keys, the one that tried longest ago is forgotten.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

KEYS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """`tries_max` at once, and one more every `refill_s` seconds."""

    tries_max: int
    refill_s: float


class RateLimiter:
    """Counts tries of many keys. Not safe for threads: belongs to one event loop."""

    def __init__(self, allowance: Allowance, *, keys_max: int = KEYS_MAX) -> None:
        assert allowance.tries_max > 0
        assert allowance.refill_s > 0
        assert keys_max > 0
        self._allowance = allowance
        self._keys_max = keys_max
        # Key to the moment at which its bucket is full again; ordered by the last try.
        self._full_at_s: OrderedDict[str, float] = OrderedDict()

    def take(self, key: str, *, now_s: float) -> float:
        """Take a try. Returns 0.0 when it was there, else the seconds until one is there.

        A refused try costs nothing: waiting as told is always enough.
        """
        refill_s = self._allowance.refill_s
        full_at_s = max(self._full_at_s.get(key, now_s), now_s)
        wait_s = full_at_s - now_s - (self._allowance.tries_max - 1) * refill_s
        # Less than a microsecond is the rounding of floats, not a wait.
        if wait_s > 1e-6:
            return wait_s
        self._full_at_s[key] = full_at_s + refill_s
        self._full_at_s.move_to_end(key)
        if len(self._full_at_s) > self._keys_max:
            self._full_at_s.popitem(last=False)
        return 0.0

    def give_back(self, key: str) -> None:
        """Return a try that turned out to be honest."""
        if key in self._full_at_s:
            self._full_at_s[key] -= self._allowance.refill_s

    def __len__(self) -> int:
        return len(self._full_at_s)
