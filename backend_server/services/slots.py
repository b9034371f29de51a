"""How many may do at once what takes much memory; the others wait a little, or come back later."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from backend_server.domain.refusals import Refusal
from backend_server.protocol.errors import ErrorCode

RETRY_AFTER_S = 1.0


class Slots:
    """`count_max` holders at a time. First come, first served."""

    def __init__(self, count_max: int, *, wait_s_max: float) -> None:
        self._free = anyio.Semaphore(count_max)
        self._wait_s_max = wait_s_max

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Hold a slot while the block runs.

        Raises:
            Refusal: BUSY: none became free in time.
        """
        with anyio.move_on_after(self._wait_s_max) as waiting:
            await self._free.acquire()
        if waiting.cancelled_caught:
            raise Refusal(ErrorCode.BUSY, "The server is busy; try again.", RETRY_AFTER_S)
        try:
            yield
        finally:
            self._free.release()
