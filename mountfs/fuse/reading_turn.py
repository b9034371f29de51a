"""Whose turn it is to read the kernel's next request: the lock that pyfuse3's workers share.

`trio.Lock` hands itself to the next in line at every release, which costs two task switches a
request. Here a worker that answered its request without waiting for anything finds the turn still
free and takes it again; only when a request has to wait for something is another worker woken.

Invariant: while a request waits in the kernel, either somebody has the turn, or somebody who
could take it is on the way: running, or woken. So whoever has taken a request calls `hand_on` when
he is about to wait, or to end.
"""

import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

import trio

T = TypeVar("T")


class ReadingTurn:
    """An async context manager, one a mount. One event loop."""

    def __init__(self) -> None:
        self.was_answered_at_once = False
        """Whether the last request was: then the next one is likely on its way already."""
        self._is_taken = False
        self._is_one_woken = False
        self._waiting = trio.lowlevel.ParkingLot()

    async def __aenter__(self) -> None:
        """Take the turn. Checkpoint only if another worker has it."""
        while self._is_taken:
            await self._waiting.park()
            self._is_one_woken = False
        self._is_taken = True

    async def __aexit__(self, *_: object) -> None:
        """Give the turn back, for oneself to take again or to `hand_on`. No checkpoint."""
        self._is_taken = False

    def hand_on(self) -> None:
        """Wake one of those who wait for the turn, if it is free and none is woken yet."""
        if self._waiting and not self._is_taken and not self._is_one_woken:
            self._is_one_woken = True
            self._waiting.unpark()


@types.coroutine
def handing_on(turn: ReadingTurn, answering: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Await `answering`, and hand the turn on if that has to wait. What it raises is raised."""
    try:
        trap = answering.send(None)
    except StopIteration as done:
        turn.was_answered_at_once = True
        return done.value  # type: ignore[no-any-return]
    turn.was_answered_at_once = False
    turn.hand_on()
    while True:
        failure: BaseException | None = None
        try:
            outcome = yield trap
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is not for us
            failure = error
        try:
            trap = answering.send(outcome) if failure is None else answering.throw(failure)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
