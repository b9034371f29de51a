"""Who is calling: the bearer token of a request, asked about before anything else is read."""

from typing import Any, Final

from litestar import Request

from backend_server.domain.caller import Caller
from backend_server.domain.refusals import Refusal
from backend_server.protocol.errors import ErrorCode
from backend_server.services.authenticate import Authenticate

_SCHEME: Final = "bearer "


def bearer_token_of(authorization: str | None) -> str:
    """Return the token in an Authorization header. Pure.

    Raises:
        Refusal: TOKEN_INVALID: there is none.
    """
    if authorization is None or not authorization.lower().startswith(_SCHEME):
        raise Refusal(ErrorCode.TOKEN_INVALID, "This call needs a token; log in first.")
    return authorization[len(_SCHEME) :].strip()


async def caller_of(request: Request[Any, Any, Any], authenticate: Authenticate) -> Caller:
    """Return who calls.

    Raises:
        Refusal: As `Authenticate`.
    """
    return await authenticate(bearer_token_of(request.headers.get("authorization")))
