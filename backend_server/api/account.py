"""GET /v1/account: who am I, and which drives may I see."""

from typing import Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from backend_server.api.authentication import caller_of
from backend_server.api.bodies import answer_json
from backend_server.api.openapi import described
from backend_server.api.use_cases import UseCases
from backend_server.protocol.account_messages import AccountAnswer


def account_routes(use_cases: UseCases) -> list[HTTPRouteHandler]:
    """Return the routes of the account."""

    @get("/v1/account", operation_class=described(answers=AccountAnswer))
    async def get_account(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Tell who calls, and the drives that they may see."""
        caller = await caller_of(request, use_cases.authenticate)
        return answer_json(await use_cases.load_account(caller))

    return [get_account]
