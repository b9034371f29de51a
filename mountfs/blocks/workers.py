"""Where work that would hold up the loop is done: threads, or, in simulations, right here."""

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

import trio

P = ParamSpec("P")
T = TypeVar("T")


class Workers(Protocol):
    """Runs synchronous functions; their arguments must not change meanwhile."""

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return `work(*args, **kwargs)`. Checkpoint. Not interrupted by cancellation."""
        ...


class ThreadWorkers:
    """At most `count` threads at a time, apart from everybody else's."""

    def __init__(self, count: int) -> None:
        self._limiter = trio.CapacityLimiter(count)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await trio.to_thread.run_sync(lambda: work(*args, **kwargs), limiter=self._limiter)


class InlineWorkers:
    """No threads: the same order in every run of a seeded simulation."""

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        await trio.lowlevel.checkpoint()
        return work(*args, **kwargs)
