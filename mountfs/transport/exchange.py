"""One HTTP exchange: slots, deadlines, compression, counting, one retry.

httpx's transport is used without its client: redirects, cookies and default headers would cost
bytes and time on every call. Each lane has its own limiter, and together the lanes never want more
connections than the pool has, so nobody ever waits inside the pool, where cancelled requests leak
slots (https://github.com/encode/httpcore/issues/1093).
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import httpx
import trio

from backend_server.protocol.compression import (
    ZSTD,
    CompressedTooLarge,
    CompressionMalformed,
    compress,
    decompress,
)
from backend_server.protocol.limits import KIB, MIB
from mountfs.errors import Corruption, MountError
from mountfs.transport.bodies import BytesBody
from mountfs.transport.carrier import CALL_CONNECTIONS_MAX
from mountfs.transport.refusals import network_errors, refusal_of_answer
from mountfs.transport.traffic import Traffic

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 30.0
CALL_DEADLINE_S: Final = 60.0
ANSWER_BYTES_MAX: Final = 64 * MIB

# A body this small goes in the packet of its headers; compressing it would gain nothing.
_COMPRESS_BYTES_MIN: Final = 512
# Larger bodies hold blocks, which are compressed already.
_COMPRESS_BYTES_MAX: Final = 1 * MIB
_RETRY_DELAY_S: Final = 0.05

# What a connection raises that the server closed while it lay idle.
_STALE: Final = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.CloseError)
_STALE_WITHIN_S: Final = 5.0
"""By when such a connection raises it. What breaks later lay not idle, and whoever waited for it is
not kept waiting for a second try as well: 30 s more, where the link froze."""

Headers = list[tuple[bytes, bytes]]

_REFUSAL_BYTES_MAX: Final = 64 * KIB
# A body may take this much longer for each of its bytes: slower links cannot carry a drive.
SLOWEST_BYTES_PER_S: Final = 32 * KIB


class Exchange:
    """Sends requests to one server with one token (None: not logged in)."""

    def __init__(
        self,
        server: httpx.URL,
        transport: httpx.AsyncBaseTransport,
        *,
        token: str | None,
        traffic: Traffic,
        jitter: Callable[[], float],
    ) -> None:
        self._server = server
        self._transport = transport
        self._traffic = traffic
        self._jitter = jitter
        self._calls = trio.CapacityLimiter(CALL_CONNECTIONS_MAX)
        self._polls = trio.CapacityLimiter(1)
        self._headers: Headers = [(b"host", server.netloc)]
        if token is not None:
            self._headers.append((b"authorization", b"Bearer " + token.encode()))

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes | None = None,
        body_kind: str = "",
        deadline_s: float = CALL_DEADLINE_S,
        is_idempotent: bool = True,
    ) -> bytes:
        """Return the body of the answer, decompressed. Raises `mountfs.errors` only."""
        headers = [*self._headers, (b"accept-encoding", ZSTD.encode())]
        if body is not None:
            headers.append((b"content-type", body_kind.encode()))
            body = _compressed(body, headers)
            headers.append((b"content-length", b"%d" % len(body)))
        elif method != "GET":
            headers.append((b"content-length", b"0"))

        def make() -> httpx.Request:
            stream = BytesBody(body or b"")
            return self._request(method, path, query, headers, stream, READ_TIMEOUT_S)

        return await self._send_whole(make, len(body or b""), deadline_s, is_idempotent)

    async def send_stream(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str],
        body: httpx.AsyncByteStream,
        body_bytes: int,
        body_kind: str,
        deadline_s: float,
    ) -> bytes:
        """Send `body`, which can be iterated again, and return the body of the answer."""
        headers = [
            *self._headers,
            (b"content-type", body_kind.encode()),
            (b"content-length", b"%d" % body_bytes),
        ]

        def make() -> httpx.Request:
            return self._request(method, path, query, headers, body, READ_TIMEOUT_S)

        return await self._send_whole(make, body_bytes, deadline_s, True)

    async def poll(self, path: str, body: bytes, body_kind: str, *, timeout_s: float) -> bytes:
        """As `call`, on the connection kept for it, waiting as long as `timeout_s`."""
        headers = [
            *self._headers,
            (b"content-type", body_kind.encode()),
            (b"content-length", b"%d" % len(body)),
        ]

        def make() -> httpx.Request:
            return self._request("POST", path, None, headers, BytesBody(body), timeout_s)

        with network_errors():
            with trio.fail_after(timeout_s):
                async with self._polls:
                    return await self._whole(make, len(body), True)

    @asynccontextmanager
    async def stream(
        self, path: str, *, body: bytes, body_kind: str, read_timeout_s: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Give the raw bytes of the answer to a POST as they arrive.

        What the block that uses them raises is left alone.
        """
        headers = [*self._headers, (b"content-type", body_kind.encode())]
        body = _compressed(body, headers)
        headers.append((b"content-length", b"%d" % len(body)))

        def make() -> httpx.Request:
            return self._request("POST", path, None, headers, BytesBody(body), read_timeout_s)

        async with self._calls:
            with network_errors(), trio.fail_after(CALL_DEADLINE_S):
                response = await self._open(make, len(body), True)
            pieces = _Pieces(response, self._traffic)
            try:
                if response.status_code != 200:
                    raise refusal_of_answer(response.status_code, await _refusal_body(pieces))
                yield pieces
            finally:
                await pieces.aclose()

    async def aclose(self) -> None:
        """Close every connection. What is under way fails as if the other end had done so; the
        next call makes a new connection."""
        await self._transport.aclose()

    def _request(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None,
        headers: Headers,
        body: httpx.AsyncByteStream,
        read_timeout_s: float,
    ) -> httpx.Request:
        timeouts = {
            "connect": CONNECT_TIMEOUT_S,
            "read": read_timeout_s,
            "write": READ_TIMEOUT_S,
            "pool": CONNECT_TIMEOUT_S,
        }
        url = self._server.copy_with(path=path)
        if query:
            url = url.copy_merge_params(query)
        return httpx.Request(
            method, url, headers=headers, stream=body, extensions={"timeout": timeouts}
        )

    async def _send_whole(
        self,
        make: Callable[[], httpx.Request],
        body_bytes: int,
        deadline_s: float,
        is_idempotent: bool,
    ) -> bytes:
        with network_errors():
            with trio.fail_after(deadline_s):
                async with self._calls:
                    return await self._whole(make, body_bytes, is_idempotent)

    async def _whole(
        self, make: Callable[[], httpx.Request], body_bytes: int, is_idempotent: bool
    ) -> bytes:
        response = await self._open(make, body_bytes, is_idempotent)
        is_good = 200 <= response.status_code < 300
        bytes_max = ANSWER_BYTES_MAX if is_good else _REFUSAL_BYTES_MAX
        answer = bytearray()
        # As it came: httpx would make all that a compressed piece stands for, whatever its size.
        pieces = _Pieces(response, self._traffic)
        try:
            async for piece in pieces:
                answer += piece
                if len(answer) > bytes_max:
                    raise Corruption("an answer larger than an answer may be")
        finally:
            await pieces.aclose()
        plain = _plain(answer, response.headers.get("content-encoding", ""), bytes_max=bytes_max)
        if not is_good:
            raise refusal_of_answer(response.status_code, plain)
        return plain

    async def _open(
        self, make: Callable[[], httpx.Request], body_bytes: int, is_idempotent: bool
    ) -> httpx.Response:
        """Return the answer with its body unread; tries a second time on a stale connection."""
        began_at = trio.current_time()
        try:
            return await self._open_once(make(), body_bytes)
        except _STALE:
            if not is_idempotent or trio.current_time() > began_at + _STALE_WITHIN_S:
                raise
        await trio.sleep(_RETRY_DELAY_S * self._jitter())
        return await self._open_once(make(), body_bytes)

    async def _open_once(self, request: httpx.Request, body_bytes: int) -> httpx.Response:
        traffic = self._traffic
        traffic.requests += 1
        traffic.up_bytes += body_bytes + len(request.method) + len(request.url.raw_path) + 14
        traffic.up_bytes += sum(len(name) + len(value) + 4 for name, value in request.headers.raw)
        response = await self._transport.handle_async_request(request)
        traffic.down_bytes += 19
        traffic.down_bytes += sum(
            len(name) + len(value) + 4 for name, value in response.headers.raw
        )
        return response


class _Pieces:
    """The raw pieces of an answer's body; raises `mountfs.errors` only.

    How long they may be waited for, in all, grows with what they bring: a body that comes by drops
    ends. The time that its reader takes does not count.
    """

    def __init__(self, response: httpx.Response, traffic: Traffic) -> None:
        self._response = response
        self._patience_s = CALL_DEADLINE_S
        self._raw = response.aiter_raw()
        self._traffic = traffic
        self._is_open = False
        """Whether reading has begun and not ended."""

    def __aiter__(self) -> "_Pieces":
        return self

    async def __anext__(self) -> bytes:
        self._is_open = True
        asked_at = trio.current_time()
        try:
            with network_errors(), trio.fail_after(max(0.0, self._patience_s)):
                piece = await anext(self._raw)
        except BaseException:
            self._is_open = False
            raise
        self._patience_s += len(piece) / SLOWEST_BYTES_PER_S - (trio.current_time() - asked_at)
        self._traffic.down_bytes += len(piece)
        return piece

    async def aclose(self) -> None:
        """Close the answer; if it was not read to its end, the connection too."""
        with suppress(StopAsyncIteration, MountError), trio.CancelScope() as scope:
            scope.cancel()
            # Under httpx lies a pile of generators. Only an exception from the innermost ends them
            # all in order; closed from above they would be left to the garbage collector.
            while self._is_open:
                await anext(self)
        await _close(self._response)


async def _refusal_body(pieces: AsyncIterator[bytes]) -> bytes:
    """Return the body of a refusal, or the first part of one that says too much."""
    body = b""
    async for piece in pieces:
        body += piece
        if len(body) > _REFUSAL_BYTES_MAX:
            break
    return body


def _plain(answer: bytearray, encoding: str, *, bytes_max: int) -> bytes:
    """Return the body of an answer, decompressed. Raises `Corruption`. Pure."""
    if encoding in ("", "identity"):
        return bytes(answer)
    if encoding != ZSTD:
        raise Corruption("an answer in an encoding that was not asked for")
    try:
        return decompress(answer, bytes_max=bytes_max)
    except (CompressionMalformed, CompressedTooLarge) as error:
        raise Corruption(f"the answer cannot be decompressed: {error}") from error


async def _close(response: httpx.Response) -> None:
    # Closing an answer that was not read to its end closes the connection; that must not hang.
    with trio.move_on_after(1.0, shield=True), network_errors():
        await response.aclose()


def _compressed(body: bytes, headers: Headers) -> bytes:
    """Return `body`, compressed if that makes it smaller; says so in `headers`."""
    if _COMPRESS_BYTES_MIN < len(body) <= _COMPRESS_BYTES_MAX:
        smaller = compress(body)
        if len(smaller) + 24 < len(body):
            headers.append((b"content-encoding", ZSTD.encode()))
            return smaller
    return body
