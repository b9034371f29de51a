"""POST /v1/sessions: log in a device."""

from typing import Any

from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler

from backend_server.api.bodies import Bodies, answer_json
from backend_server.api.metrics import Metrics
from backend_server.api.openapi import described
from backend_server.domain.refusals import Refusal
from backend_server.protocol.account_messages import SessionAnswer, SessionRequest
from backend_server.protocol.errors import ErrorCode
from backend_server.services.log_in import LogIn


def session_routes(log_in: LogIn, *, bodies: Bodies, metrics: Metrics) -> list[HTTPRouteHandler]:
    """Return the routes of sessions."""

    @post(
        "/v1/sessions",
        status_code=200,
        operation_class=described(
            takes=SessionRequest,
            answers=SessionAnswer,
            is_open=True,
            refuses=[
                ErrorCode.TOO_LARGE,
                ErrorCode.RATE_LIMITED,
                ErrorCode.WRONG_PASSWORD,
                ErrorCode.FORBIDDEN,
            ],
        ),
    )
    async def create_session(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Log in a device; the token is shown once."""
        message = await bodies.read_json(request, SessionRequest)
        address = request.client.host if request.client else "unknown"
        try:
            answer = await log_in(message, address=address)
        except Refusal as refusal:
            metrics.log_in_ended(refusal.code.value)
            raise
        metrics.log_in_ended("ok")
        return answer_json(answer)

    return [create_session]
