"""How pyfuse3 waits for the kernel: `trio` as pyfuse3 sees it, without the freeze.

pyfuse3 waits until /dev/fuse is readable and then reads it, holding the GIL. When the program
behind the request is killed in between, the request is gone, the read blocks, and with it the
whole process until some other request comes. Three things cure it:

- after every wake-up poll(2) says once more that there is something to read;
- the descriptor is non-blocking, so that the few microseconds that are left between that poll
  and the read cost an EAGAIN instead of a freeze;
- pyfuse3 takes EAGAIN for fatal, so the nursery it gets starts such a worker anew.

The poll also comes first: while requests queue up, one system call replaces a round through the
event loop (8 programs at once: 28 k -> 65 k getattr a second, with `ReadingTurn`). Every
`FAIR_EVERY`-th request still goes through the loop, so that other tasks run and cancellation
arrives.

pyfuse3 3.5 uses exactly these names of its module `trio`: `Lock`, `open_nursery`,
`ClosedResourceError` and `lowlevel.{current_trio_token, current_task, wait_readable,
notify_closing}`. `tests/fuse` holds that list against the installed version.
"""

import errno
import os
import select
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from mountfs.fuse.deadlines import RequestDeadlines
from mountfs.fuse.reading_turn import ReadingTurn

FAIR_EVERY: Final = 32

LINGER_S: Final = 100e-6
"""After an answer that took no waiting, so long is looked for the next request before this worker
goes to sleep: a program that does one thing after the other comes back in some 30 µs, and being
woken costs more (0.80-0.90 of the time for a transaction of SQLite, 0.86-0.91 for a new small file,
and no more of the processor). While requests keep coming so fast, everything else on the loop waits
for `FAIR_EVERY` of them: some 4 ms."""


class LowLevelShim:
    """`trio.lowlevel` as pyfuse3 sees it. For one descriptor a process."""

    current_trio_token = staticmethod(trio.lowlevel.current_trio_token)
    current_task = staticmethod(trio.lowlevel.current_task)
    notify_closing = staticmethod(trio.lowlevel.notify_closing)

    def __init__(self, deadlines: RequestDeadlines, turn: ReadingTurn) -> None:
        self._deadlines = deadlines
        self._turn = turn
        self._descriptor = -1
        self._poll = select.poll()
        self._waits = 0

    async def wait_readable(self, descriptor: int) -> None:
        """Return when `descriptor` was readable a moment ago. Checkpoint one time in FAIR_EVERY.

        Raises:
            trio.ClosedResourceError: `notify_closing` was called meanwhile.
        """
        if descriptor != self._descriptor:
            self._watch(descriptor)
        self._waits += 1
        if self._waits % FAIR_EVERY == 0:
            await trio.lowlevel.checkpoint()
        elif self._deadlines.has_any_expired:
            # A worker that was given up must not take another request.
            await trio.lowlevel.checkpoint_if_cancelled()
        poll = self._poll.poll
        if self._turn.was_answered_at_once:
            self._turn.was_answered_at_once = False
            until_s = time.perf_counter() + LINGER_S
            while not poll(0):
                if time.perf_counter() > until_s:
                    break
        while not poll(0):
            await trio.lowlevel.wait_readable(descriptor)

    def _watch(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)


class _RestartingNursery:
    """Starts pyfuse3's workers, and starts one anew that met EAGAIN or a deadline."""

    def __init__(
        self, nursery: trio.Nursery, deadlines: RequestDeadlines, turn: ReadingTurn
    ) -> None:
        self._nursery = nursery
        self._deadlines = deadlines
        self._turn = turn

    def start_soon(
        self, worker: Callable[..., Awaitable[object]], *args: Any, name: str | None = None
    ) -> None:
        self._nursery.start_soon(self._run, worker, args, name=name)

    async def _run(self, worker: Callable[..., Awaitable[object]], args: tuple[Any, ...]) -> None:
        # A worker that raised has not taken itself off pyfuse3's count of workers: running it
        # again, and not another one, keeps that count right.
        try:
            while True:
                with self._deadlines.working():
                    try:
                        await worker(*args)
                        return
                    except OSError as error:
                        if error.errno != errno.EAGAIN:
                            raise
        finally:
            self._turn.hand_on()


class TrioShim:
    """The module `trio` as pyfuse3 sees it; assign an instance to `pyfuse3.trio`."""

    ClosedResourceError = trio.ClosedResourceError

    def __init__(self, deadlines: RequestDeadlines, turn: ReadingTurn) -> None:
        self._deadlines = deadlines
        self._turn = turn
        self.lowlevel = LowLevelShim(deadlines, turn)

    def Lock(self) -> ReadingTurn:  # noqa: N802 - the name that pyfuse3 uses
        """Return the lock that pyfuse3's workers take to wait for a request."""
        return self._turn

    @asynccontextmanager
    async def open_nursery(self) -> AsyncIterator[_RestartingNursery]:
        async with trio.open_nursery() as nursery:
            yield _RestartingNursery(nursery, self._deadlines, self._turn)
