"""The long poll: learns that the drive moved on the server. A hint only; the feed is the truth."""

import random
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from backend_server.protocol.identity import DriveId
from backend_server.protocol.messages import PollAnswer, PollRequest
from mountfs.errors import MountError
from mountfs.sync.backoff import backoff_s


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

    def try_now(self) -> None:
        """The server can be reached again: a pause behind failures ends. Never blocks."""
        self._try_now.set()

    async def run(self) -> None:
        """Poll until cancelled."""
        failures = 0
        while True:
            cursor = self._cursor()
            try:
                answer = await self._server.poll(PollRequest({self._drive_id: cursor}))
            except MountError:
                failures += 1
                self._try_now = trio.Event()
                with trio.move_on_after(backoff_s(failures, self._jitter)):
                    await self._try_now.wait()
                self._hint()
                continue
            failures = 0
            if answer.retry_after_s:
                await trio.sleep(answer.retry_after_s * self._jitter.uniform(0.5, 1.5))
            if self._drive_id in answer.moved:
                await self._moved(cursor)
            else:
                self._hint()  # a slow poll is the safety net: ask the feed itself
