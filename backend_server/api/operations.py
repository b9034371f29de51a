"""For whoever runs the server: /health, /health/ready, /metrics."""

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from prometheus_client import CONTENT_TYPE_LATEST

from backend_server.api.bodies import answer_json
from backend_server.api.metrics import Metrics
from backend_server.api.openapi import described
from backend_server.domain.refusals import Refusal
from backend_server.protocol.errors import ErrorCode


def operation_routes(
    check_ready: Callable[[], Awaitable[None]], *, metrics: Metrics, metrics_from_anywhere: bool
) -> list[HTTPRouteHandler]:
    """Return the routes of operations. They ask for no token and tell nothing of anybody."""

    @get("/health", operation_class=described(is_open=True))
    async def get_health() -> Response[bytes]:
        """Say that the process answers; restart it when it does not."""
        return answer_json({"status": "ok"})

    @get("/health/ready", operation_class=described(is_open=True))
    async def get_ready() -> Response[bytes]:
        """Say whether database and block store work; send no requests while they do not."""
        await check_ready()
        return answer_json({"status": "ok"})

    @get("/metrics", operation_class=described(is_open=True, refuses=[ErrorCode.FORBIDDEN]))
    async def get_metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return measurements for Prometheus, to this machine unless configured otherwise."""
        if not metrics_from_anywhere and not _is_loopback(request):
            raise Refusal(ErrorCode.FORBIDDEN, "Metrics are for this machine.")
        return Response(metrics.exposition(), headers={"content-type": CONTENT_TYPE_LATEST})

    return [get_health, get_ready, get_metrics]


def _is_loopback(request: Request[Any, Any, Any]) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
