"""Stands between a device and an honest server, and changes what is answered on the way."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from backend_server.protocol.encoding import MSGPACK, decode, encode
from mountfs.transport.bodies import BytesBody

Tamper = Callable[[str, Any], Any]
"""Given the name of a call and its answer, made of lists and dicts; returns what arrives."""


@dataclass
class Liar(httpx.AsyncBaseTransport):
    """Changes what the server answers in msgpack; honest while `tamper` is None."""

    inner: httpx.AsyncBaseTransport
    tamper: Tamper | None = None
    lies: int = 0
    requests: list[str] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        call = request.url.path.rpartition("/")[2]
        self.requests.append(call)
        response = await self.inner.handle_async_request(request)
        if self.tamper is None or response.headers.get("content-type") != MSGPACK:
            return response
        answer = decode(await response.aread(), dict)
        self.lies += 1
        return httpx.Response(200, stream=BytesBody(encode(self.tamper(call, answer))))
