"""Which values were used since this was last written down.

Recency is a hint: writing it with every read would turn reads into writes. Uses are collected in
memory and written in one batch; a crash forgets the last half minute of them, no more.
"""

import threading
from collections.abc import Iterable
from itertools import count
from typing import Final

TOUCHED_COUNT_MAX: Final = 64 * 1024
"""Beyond so many unwritten uses, new ones are not noted until upkeep ran. About 10 MB."""


class Touches:
    """Keys in the order of their last use. Any thread."""

    def __init__(self) -> None:
        self._last_use: dict[bytes, int] = {}
        self._clock = count()
        self._lock = threading.Lock()

    def touch(self, key: bytes) -> None:
        """Note a use of `key`, now."""
        with self._lock:
            if len(self._last_use) < TOUCHED_COUNT_MAX or key in self._last_use:
                self._last_use[key] = next(self._clock)

    def take(self, count_max: int) -> list[bytes]:
        """Remove and return up to `count_max` keys, least recently used first."""
        with self._lock:
            in_order = sorted(self._last_use, key=self._last_use.__getitem__)[:count_max]
            for key in in_order:
                del self._last_use[key]
            return in_order

    def in_order(self, keys: Iterable[bytes]) -> list[bytes]:
        """Return `keys` by last use, those without a noted use last."""
        with self._lock:
            never = next(self._clock)
            return sorted(keys, key=lambda key: self._last_use.get(key, never))

    def forget(self, keys: Iterable[bytes]) -> None:
        """Drop the noted uses of `keys`: somebody wrote them down."""
        with self._lock:
            for key in keys:
                self._last_use.pop(key, None)

    def __contains__(self, key: bytes) -> bool:
        return key in self._last_use
