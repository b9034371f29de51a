"""The door to threads: every subsystem has its own, named and bounded.

Blocking work (files, codecs, password hashing) never runs on the event loop, and a subsystem that
is slow can never take the threads of another one. Simulations use `InlineThreads`, which keeps a
run deterministic.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

T = TypeVar("T")


class Threads(Protocol):
    """Runs blocking work away from the event loop."""

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns; raise what it raises.

        Checkpoint. Once started, `work` runs to its end, also when the caller is cancelled.
        """
        ...


class WorkerThreads:
    """At most `threads_max` threads at a time; further work waits in order. asyncio or trio."""

    def __init__(self, name: str, threads_max: int) -> None:
        assert threads_max > 0
        self.name = name
        self._threads_max = threads_max
        self._limiter: anyio.CapacityLimiter | None = None

    async def run(self, work: Callable[[], T]) -> T:
        limiter = self._limiter
        if limiter is None:
            # Made here, not in __init__: a limiter belongs to the event loop that it is made in.
            limiter = self._limiter = anyio.CapacityLimiter(self._threads_max)
        return await anyio.to_thread.run_sync(work, limiter=limiter)


class InlineThreads:
    """Runs work where it stands; for tests and simulations."""

    async def run(self, work: Callable[[], T]) -> T:
        await anyio.lowlevel.checkpoint()
        return work()
