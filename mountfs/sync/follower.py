"""The long poll: learns that the drive moved on the server. A hint only; the feed is the truth."""

import random
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import trio

from backend_server.protocol.identity import DriveId
from backend_server.protocol.tree_messages import PollAnswer, PollRequest
from mountfs.errors import MountError
from mountfs.sync.backoff import BACKOFF_MIN_S, backoff_s

_HELD_S: Final = 0.5
"""An answer that took so long was no idle one."""
_YOUNG_S: Final = 1.0
"""A poll that began so lately, as the first of a mount, is on a connection that lives."""
_FRUITLESS_MAX: Final = 2
_QUICK_MAX: Final = 50
"""Quick answers in a row until they are paced: a busy drive needs no more than a few a second."""


class PollServer(Protocol):
    async def poll(self, request: PollRequest) -> PollAnswer:
        """Return when a drive moved past its cursor, or after about a minute. Raises
        `MountError`."""
        ...


class Follower:
    """Polls for one drive.

    Args:
        cursor: Where the mirror is.
        moved: The drive is past this cursor: returns when the mirror is, or cannot be had now.
        hint: It may be.
    """

    def __init__(
        self,
        drive_id: DriveId,
        server: PollServer,
        *,
        cursor: Callable[[], str],
        moved: Callable[[str], Awaitable[None]],
        hint: Callable[[], None],
        jitter: random.Random,
    ) -> None:
        self._drive_id = drive_id
        self._server = server
        self._cursor = cursor
        self._moved = moved
        self._hint = hint
        self._jitter = jitter
        self._try_now = trio.Event()
        self._polling = trio.CancelScope()
        self._asked_at_s = 0.0

    def try_now(self) -> None:
        """The server can be reached again: a pause behind failures ends, and so does a poll that
        may hang on a connection which died with the link. Never blocks."""
        self._try_now.set()
        if trio.current_time() > self._asked_at_s + _YOUNG_S:
            self._polling.cancel()

    async def run(self) -> None:
        """Poll until cancelled."""
        failures = 0
        pace = _Pace(self._jitter)
        while True:
            cursor = self._cursor()
            answer = None
            self._asked_at_s = trio.current_time()
            try:
                with trio.CancelScope() as self._polling:
                    answer = await self._server.poll(PollRequest({self._drive_id: cursor}))
            except MountError:
                failures += 1
                self._try_now = trio.Event()
                with trio.move_on_after(backoff_s(failures, self._jitter)):
                    await self._try_now.wait()
                self._hint()
                continue
            failures = 0
            if answer is None:
                self._hint()
                continue
            if answer.retry_after_s:
                await trio.sleep(answer.retry_after_s * self._jitter.uniform(0.5, 1.5))
            if self._drive_id in answer.moved:
                await self._moved(cursor)
            else:
                self._hint()  # a slow poll is the safety net: ask the feed itself
            await trio.sleep(
                pace.pause_s(
                    took_s=trio.current_time() - self._asked_at_s,
                    has_moved=self._cursor() != cursor,
                )
            )


class _Pace:
    """How long to wait behind an answer: nothing, as long as the server holds polls that have
    nothing to tell, and tells of what the feed then has."""

    def __init__(self, jitter: random.Random) -> None:
        self._jitter = jitter
        self._fruitless_count = 0
        self._quick_count = 0

    def pause_s(self, *, took_s: float, has_moved: bool) -> float:
        """Return the pause behind an answer that took so long and was followed up."""
        if took_s >= _HELD_S:
            self._fruitless_count = self._quick_count = 0
            return 0.0
        self._quick_count += 1
        self._fruitless_count = 0 if has_moved else self._fruitless_count + 1
        if self._fruitless_count > _FRUITLESS_MAX:
            return backoff_s(self._fruitless_count - _FRUITLESS_MAX, self._jitter)
        return BACKOFF_MIN_S if self._quick_count > _QUICK_MAX else 0.0
