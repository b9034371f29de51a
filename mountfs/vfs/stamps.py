"""The times that calls leave on files: no call's is older than an earlier one's.

Some of a file's times are taken by the kernel before it asks us (utimensat(2) with UTIME_NOW,
ftruncate(2)) and arrive as if the program had named them. The kernel's clock for files stands
still for a tick and may be ahead of what CLOCK_REALTIME_COARSE tells: once some file system of the
machine got a finer time, no file gets an older one (Linux 6.13, multigrain timestamps). So a time
of now that arrived is a floor for those that we take.
"""

from typing import Final

from mountfs.clock import Clock

TICK_NS_MAX: Final = 10_000_000
"""Kernels are built with 100 to 1,000 ticks a second."""

TIME_NS_MAX: Final = 2**63 - 1
"""Of either sign: the years 1677 to 2262."""


def nearest_kept_ns(time_ns: int) -> int:
    """Return the time nearest to `time_ns` that a file can have. Pure.

    A local disk does the same with times beyond its own bounds (utimensat(2) does not fail).
    """
    return max(-TIME_NS_MAX, min(time_ns, TIME_NS_MAX))


class Stamps:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._floor_ns = 0

    def now_ns(self) -> int:
        """Return the time of a call that is made now, Unix time in nanoseconds.

        At most one tick ahead of the clock; goes back when the clock does by more than that.
        """
        now_ns = self._clock.wall_ns()
        if now_ns < self._floor_ns <= now_ns + TICK_NS_MAX:
            return self._floor_ns
        return now_ns

    def saw(self, time_ns: int | None) -> None:
        """A program, or the kernel for it, gave a file this time."""
        if time_ns is not None and self.now_ns() < time_ns <= self._clock.wall_ns() + TICK_NS_MAX:
            self._floor_ns = time_ns
