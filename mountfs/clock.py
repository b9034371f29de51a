"""The one door to time. Injected, so that simulations and tests can own it."""

import sys
import time
from typing import Final, Protocol

_CLOCK_REALTIME_COARSE: Final = 5
"""clock_gettime(2); `time` has no name for it."""


class Clock(Protocol):
    def wall_ns(self) -> int:
        """Unix time in nanoseconds: what people and files see. May jump, and stand for a tick."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some moment: what waits are made of. Never jumps."""
        ...


class SystemClock:
    def wall_ns(self) -> int:
        if sys.platform == "linux":
            # The kernel takes file times from this one (time(7)), also for files of ours. By a
            # finer clock, a file that was touched later could look older, by a tick.
            return time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()


def elapsed_s() -> float:
    """Return seconds since the machine was started, also those in which it slept."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
