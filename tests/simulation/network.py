"""A network with moods: delay, loss before and after the server acted, duplicates, reordering.

All chance is one seed's. Requests that are under way together overtake each other by their delays.
"""

import random
from collections.abc import AsyncIterator, Callable

import httpx
import trio

from simulation.world import Link

DELAY_S = 0.03
LOSS = 0.03
"""Of requests, and as much of answers."""
DUPLICATION = 0.03

Tell = Callable[[str], None]


class ServerDied(Exception):
    """The server was killed while it worked on the request."""


class Incarnation:
    """One life of the server: what is under way ends with it, at whatever await it is."""

    def __init__(self) -> None:
        self._under_way: set[trio.CancelScope] = set()
        self.is_over = False

    def kill(self) -> None:
        self.is_over = True
        for scope in list(self._under_way):
            scope.cancel()

    async def carry(
        self, transport: httpx.AsyncBaseTransport, request: httpx.Request
    ) -> httpx.Response:
        """Raises ServerDied."""
        with trio.CancelScope() as scope:
            self._under_way.add(scope)
            try:
                if not self.is_over:
                    return await transport.handle_async_request(request)
            finally:
                self._under_way.discard(scope)
        raise ServerDied


class StormyLink(Link):
    """One device's link. `is_stormy`: whether requests and answers get lost and come twice."""

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        *,
        chance: random.Random,
        server: Callable[[], Incarnation],
        tell: Tell,
    ) -> None:
        super().__init__(inner)
        self._chance = chance
        self._server = server
        self._tell = tell
        self.is_stormy = True
        self.sent_bytes = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests_count += 1
        assert isinstance(request.stream, httpx.AsyncByteStream)
        body = b"".join([part async for part in request.stream])
        # What is under way at a time is told, not what is in it: ids and keys are new each time.
        what = f"{request.method} {request.url.path.rpartition('/')[2][:12]}"
        is_poll = request.url.path.endswith("/poll")
        try:
            response = await self._carry(request, body, is_poll=is_poll)
        except httpx.TransportError as error:
            self._tell(f"{what}: {error}")
            raise
        self._tell(f"{what}: {response.status_code}")
        return response

    async def _carry(self, request: httpx.Request, body: bytes, *, is_poll: bool) -> httpx.Response:
        self._refuse_if_cut(request)
        await trio.sleep(self._chance.expovariate(1 / DELAY_S))
        fate = self._chance.random() if self.is_stormy else 1.0
        if fate < LOSS:
            raise httpx.ConnectError("lost on the way")
        self._refuse_if_cut(request)
        self.sent_bytes += 0 if is_poll else len(body)
        response = await self._once(request, body)
        if fate > 1 - DUPLICATION and not is_poll and self.is_stormy:
            response = await self._once(request, body)
        if fate < 2 * LOSS:
            raise httpx.ReadError("the answer is lost")
        await trio.sleep(self._chance.expovariate(1 / DELAY_S))
        if self.is_cut:
            raise httpx.ReadError("cut")
        return response

    def _refuse_if_cut(self, request: httpx.Request) -> None:
        is_fetch = request.url.path.endswith("/fetch")
        if self.is_cut or (self.brings_no_blocks and is_fetch):
            raise httpx.ConnectError("cut")

    async def _once(self, request: httpx.Request, body: bytes) -> httpx.Response:
        again = httpx.Request(
            request.method, request.url, headers=request.headers, stream=_Body(body),
            extensions=request.extensions,
        )  # fmt: skip
        try:
            return await self._server().carry(self._inner, again)
        except ServerDied:
            raise httpx.ReadError("the server died") from None


class _Body(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body
