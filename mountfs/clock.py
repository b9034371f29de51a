"""The one door to time. Injected, so that simulations and tests can own it."""

import time
from typing import Protocol


class Clock(Protocol):
    def wall_ns(self) -> int:
        """Unix time in nanoseconds: what people and files see. May jump."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some moment: what waits are made of. Never jumps."""
        ...


class SystemClock:
    def wall_ns(self) -> int:
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()


def elapsed_s() -> float:
    """Return seconds since the machine was started, also those in which it slept."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
