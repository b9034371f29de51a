"""One log line and one measurement a request, and the headers that every answer has.

A line tells the request's id, method, route, status, duration and sizes. Never in it: tokens,
passwords, keys, names of files, query strings (cursors, ids of uploads).
"""

import secrets
import time
from collections.abc import Callable
from typing import Final

import structlog
from litestar.enums import ScopeType
from litestar.types import (
    ASGIApp,
    HTTPResponseStartEvent,
    HTTPScope,
    Message,
    Receive,
    ReceiveMessage,
    Scope,
    Send,
)

from backend_server.api.metrics import Metrics

_log = structlog.get_logger("backend_server.access")

_ANSWER_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
_QUIET_PATHS: Final = frozenset({"/health", "/health/ready", "/metrics"})
_CLIENT_GONE_STATUS: Final = 499
_UNROUTED: Final = "(none)"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Observation:
    """Wraps an ASGI application; also tells how many requests are under way."""

    def __init__(
        self, inner: ASGIApp, metrics: Metrics, *, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._inner = inner
        self._metrics = metrics
        self._clock_s = clock_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            await self._observe(scope, receive, send)
        else:
            await self._inner(scope, receive, send)

    async def _observe(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        request_id = secrets.token_hex(8)
        started_s = self._clock_s()
        status: int = _CLIENT_GONE_STATUS
        bytes_in = bytes_out = 0

        async def counting_receive() -> ReceiveMessage:
            nonlocal bytes_in
            message = await receive()
            if message["type"] == "http.request":
                bytes_in += len(message["body"])
            return message

        async def counting_send(message: Message) -> None:
            nonlocal status, bytes_out
            if message["type"] == "http.response.start":
                status = int(message["status"])
                message = _with_headers(message, request_id)
            elif message["type"] == "http.response.body":
                bytes_out += len(message["body"])
            await send(message)

        self._metrics.request_began()
        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                await self._inner(scope, counting_receive, counting_send)
        finally:
            seconds = self._clock_s() - started_s
            path = str(scope.get("path_template") or _UNROUTED)
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            self._metrics.request_ended(
                method=method,
                path=path,
                status=status,
                seconds=seconds,
                bytes_in=bytes_in,
                bytes_out=bytes_out,
            )
            log = _log.debug if path in _QUIET_PATHS else _log.info
            log(
                "request",
                request_id=request_id,
                method=method,
                path=path,
                status=status,
                ms=round(seconds * 1000, 1),
                bytes_in=bytes_in,
                bytes_out=bytes_out,
            )


def _with_headers(message: HTTPResponseStartEvent, request_id: str) -> HTTPResponseStartEvent:
    headers = [*message["headers"], *_ANSWER_HEADERS, (b"x-request-id", request_id.encode())]
    return {**message, "headers": headers}
