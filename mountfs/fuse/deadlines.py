"""A deadline for every request, at the price of two dict entries.

A cancel scope around each request costs 6 µs of some 25. Here each of pyfuse3's workers has one
scope for its whole life, requests only note until when they may take, and a watchman cancels the
scope of a worker whose request takes longer. Such a worker answers its request (ETIMEDOUT), ends
at its next wait, and is started anew with a scope of its own.

Invariant: a worker is cancelled only here or with everything. Between a worker's requests nothing
is lost by cancelling it: it has read no request.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio
from trio.lowlevel import Task

LOOK_EVERY_S: Final = 1.0
"""So much later than its deadline a request may be answered."""


class RequestDeadlines:
    """Who serves what until when. One event loop."""

    def __init__(self) -> None:
        self.workers: dict[Task, trio.CancelScope] = {}
        """Tasks that serve request after request."""
        self.due_at_s: dict[Task, float] = {}
        """Until when the request of a worker may take, in trio's time."""
        self._expired: set[Task] = set()

    @contextmanager
    def working(self) -> Iterator[trio.CancelScope]:
        """Let this task be a worker. The scope is cancelled when a request takes too long."""
        task = trio.lowlevel.current_task()
        try:
            with trio.CancelScope() as scope:
                self.workers[task] = scope
                yield scope
        finally:
            del self.workers[task]
            self._expired.discard(task)

    @property
    def has_any_expired(self) -> bool:
        return bool(self._expired)

    def has_expired(self, task: Task) -> bool:
        """Whether `task` was cancelled because its request took too long."""
        return task in self._expired

    async def watch(self) -> None:
        """Cancel what takes too long, until cancelled."""
        while True:
            await trio.sleep(LOOK_EVERY_S)
            now_s = trio.current_time()
            late = [task for task, due_at_s in self.due_at_s.items() if due_at_s <= now_s]
            for task in late:
                self._expired.add(task)
                self.workers[task].cancel()
