"""Bodies in and out: bounded, zstd where agreed, msgpack or JSON.

What comes in is bounded twice: as it arrives and, when compressed, as it would become. A frame of
zstd must declare its size, so nothing is allocated before the bound is checked.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from http import HTTPStatus
from io import BytesIO
from typing import Any, Final, TypeVar

import anyio
import msgspec
from litestar import Request, Response
from litestar.types import HTTPResponseStartEvent, Receive, Scope, Send

from backend_server.blocks.worker_threads import Threads
from backend_server.domain.refusals import Refusal
from backend_server.protocol.compression import (
    ZSTD,
    CompressedTooLarge,
    CompressionMalformed,
    compress,
    decompress,
)
from backend_server.protocol.encoding import FRAMES, MSGPACK, MessageMalformed, decode, encode
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.limits import JSON_BODY_BYTES_MAX, KIB

T = TypeVar("T")

AnyRequest = Request[Any, Any, Any]

COMPRESS_FROM_BYTES: Final = 1 * KIB
_FRAMES_BEGIN: Final[HTTPResponseStartEvent] = {
    "type": "http.response.start",
    "status": HTTPStatus.OK,
    "headers": [(b"content-type", FRAMES.encode())],
}
_INLINE_BYTES_MAX: Final = 128 * KIB
"""Up to here coding takes less time than the hop to a thread and back."""


class Bodies:
    """Reads and makes bodies; large ones are coded in `threads`."""

    def __init__(self, *, threads: Threads) -> None:
        self._threads = threads

    async def read_message(self, request: AnyRequest, kind: type[T], *, bytes_max: int) -> T:
        """Return the msgpack message of a request, whose plain size is at most `bytes_max`.

        Raises:
            Refusal: MALFORMED, TOO_LARGE.
        """
        body = await read_bounded(request, bytes_max=bytes_max)
        encoding = request.headers.get("content-encoding", "identity").lower()

        def decoded() -> T:
            return decode_message(body, kind, encoding=encoding, bytes_max=bytes_max)

        if encoding == "identity" and len(body) <= _INLINE_BYTES_MAX:
            return decoded()
        return await self._threads.run(decoded)

    async def read_json(self, request: AnyRequest, kind: type[T]) -> T:
        """Return the JSON message of a request.

        Raises:
            Refusal: MALFORMED, TOO_LARGE.
        """
        body = await read_bounded(request, bytes_max=JSON_BODY_BYTES_MAX)
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refusal(ErrorCode.MALFORMED, str(error)) from error

    async def answer_message(self, request: AnyRequest, message: object) -> Response[bytes]:
        """Return `message` as msgpack, compressed if it is long and the client can read that."""
        accepts_zstd = accepts_encoding(request.headers.get("accept-encoding", ""), ZSTD)
        body = encode(message)
        headers = {"vary": "accept-encoding"}
        if accepts_zstd and len(body) > COMPRESS_FROM_BYTES:
            if len(body) <= _INLINE_BYTES_MAX:
                body = compress(body)
            else:
                plain = body
                body = await self._threads.run(lambda: compress(plain))
            headers["content-encoding"] = ZSTD
        return Response(body, media_type=MSGPACK, headers=headers, status_code=HTTPStatus.OK)


def answer_json(message: object) -> Response[bytes]:
    """Return `message` as JSON."""
    return Response(
        msgspec.json.encode(message), media_type="application/json", status_code=HTTPStatus.OK
    )


class FramesAnswer:
    """An ASGI application that answers with frames as they come. Ends when the client goes away.

    `send_all` is called with what sends a piece of them; it may refuse before the first.
    """

    def __init__(self, send_all: Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[None]]):
        self._send_all = send_all

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def emit(piece: bytes) -> None:
            nonlocal has_begun
            if not has_begun:
                has_begun = True
                await send(_FRAMES_BEGIN)
            await send({"type": "http.response.body", "body": piece, "more_body": True})

        async def stop_when_the_client_goes() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        refusal: Refusal | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stop_when_the_client_goes)
            try:
                await self._send_all(emit)
                if not has_begun:
                    await send(_FRAMES_BEGIN)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            except Refusal as error:
                # Not through the group, which would wrap it.
                refusal = error
            tasks.cancel_scope.cancel()
        if refusal is not None:
            raise refusal


async def read_bounded(request: AnyRequest, *, bytes_max: int) -> bytes:
    """Return the body of a request, which is at most `bytes_max` long.

    Raises:
        Refusal: TOO_LARGE, as soon as it is known.
    """
    refuse_declared_length(request, bytes_max=bytes_max)
    # Not a list of parts: a sender may cut a body into single bytes, each an object of its own.
    body = BytesIO()
    async with aclosing(read_parts(request)) as arriving:
        async for part in arriving:
            body.write(part)
            if body.tell() > bytes_max:
                raise Refusal(ErrorCode.TOO_LARGE, f"This body has at most {bytes_max} bytes.")
    return body.getvalue()


async def read_parts(request: AnyRequest) -> AsyncGenerator[bytes, None]:
    """Yield the body of a request as it arrives; unbounded, so the reader counts.

    Raises:
        Refusal: MALFORMED: the client went away in the middle. Nobody hears it.
    """
    while True:
        event = await request.receive()
        if event["type"] != "http.request":
            raise Refusal(ErrorCode.MALFORMED, "The body was cut off.")
        if part := event.get("body"):
            yield part
        if not event.get("more_body"):
            return


def refuse_declared_length(request: AnyRequest, *, bytes_max: int) -> None:
    """Refuse a body by what its header says, before any of it is read.

    Raises:
        Refusal: TOO_LARGE.
    """
    declared = request.headers.get("content-length", "").lstrip("0")
    if not (declared.isascii() and declared.isdigit()):
        return  # what arrives is counted
    # By its length first: int() refuses to read thousands of digits.
    if len(declared) > len(str(bytes_max)) or int(declared) > bytes_max:
        raise Refusal(ErrorCode.TOO_LARGE, f"This body has at most {bytes_max} bytes.")


def decode_message(body: bytes, kind: type[T], *, encoding: str, bytes_max: int) -> T:
    """Return the message in `body`. Pure.

    Raises:
        Refusal: MALFORMED, TOO_LARGE.
    """
    if encoding == ZSTD:
        try:
            body = decompress(body, bytes_max=bytes_max)
        except CompressedTooLarge as error:
            raise Refusal(ErrorCode.TOO_LARGE, str(error)) from error
        except CompressionMalformed as error:
            raise Refusal(ErrorCode.MALFORMED, str(error)) from error
    elif encoding != "identity":
        raise Refusal(ErrorCode.MALFORMED, f"Content-Encoding {encoding!r} is not understood.")
    try:
        return decode(body, kind)
    except MessageMalformed as error:
        raise Refusal(ErrorCode.MALFORMED, str(error)) from error


def accepts_encoding(accept_encoding: str, encoding: str) -> bool:
    """Whether an Accept-Encoding header allows `encoding` by its name. Pure."""
    for part in accept_encoding.split(","):
        name, _, parameters = part.partition(";")
        if name.strip().lower() == encoding:
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
