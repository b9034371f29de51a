"""Every error as `ErrorBody`: the one place where exceptions become HTTP."""

import math
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.enums import HttpMethod
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from backend_server.blocks.errors import StorageFull as BlockStorageFull
from backend_server.blocks.errors import StoreError
from backend_server.domain.refusals import Refusal
from backend_server.metadata.errors import MetadataClosed, MetadataError, MetadataUnavailable
from backend_server.metadata.errors import StorageFull as MetadataStorageFull
from backend_server.protocol.errors import HTTP_STATUS, ErrorBody, ErrorCode

_log = structlog.get_logger("backend_server.api")

_BUSY_RETRY_S: Final = 1.0
_STORAGE_FULL_RETRY_S: Final = 30.0
_CODE_OF_STATUS: Final = {
    HTTPStatus.NOT_FOUND: ErrorCode.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: ErrorCode.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ErrorCode.TOO_LARGE,
}


def refusal_of(error: Exception) -> Refusal:
    """Return what to tell a caller about `error`. Pure."""
    match error:
        case Refusal():
            return error
        case BlockStorageFull() | MetadataStorageFull():
            return Refusal(
                ErrorCode.STORAGE_FULL, "The server's storage is full.", _STORAGE_FULL_RETRY_S
            )
        case StoreError() | MetadataUnavailable():
            return Refusal(ErrorCode.BUSY, "The server is busy; try again.", _BUSY_RETRY_S)
        case HTTPException() if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            code = _CODE_OF_STATUS.get(HTTPStatus(error.status_code), ErrorCode.MALFORMED)
            return Refusal(code, error.detail or "This request is not understood.")
        case _:
            return Refusal(ErrorCode.INTERNAL, "The server made a mistake; it was logged.")


def answer_refusal(refusal: Refusal) -> Response[bytes]:
    """Return the answer that says `refusal`. Pure."""
    headers = {}
    if refusal.retry_after_s:
        headers["retry-after"] = str(math.ceil(refusal.retry_after_s))
    if HTTP_STATUS[refusal.code] is HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    body = ErrorBody(refusal.code, refusal.message, refusal.retry_after_s)
    return Response(
        msgspec.json.encode(body),
        media_type="application/json",
        status_code=HTTP_STATUS[refusal.code],
        headers=headers,
    )


def _answer_known(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    return answer_refusal(refusal_of(error))


def _answer_unavailable(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    # A request that meets the end of a stopping server is no alarm: its caller asks again.
    log = _log.info if isinstance(error, MetadataClosed) else _log.error
    log("unavailable", error=type(error).__name__, detail=str(error))
    return answer_refusal(refusal_of(error))


def _answer_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    refusal = refusal_of(error)
    if refusal.code is ErrorCode.INTERNAL:
        _log.error("internal error", exc_info=error)
    answer = answer_refusal(refusal)
    if refusal.code is ErrorCode.METHOD_NOT_ALLOWED:
        answer.headers["allow"] = ", ".join(_methods_of(request))
    return answer


def _methods_of(request: Request[Any, Any, Any]) -> Iterator[HttpMethod]:
    """Yield the methods that the path of `request` has."""
    router = request.app.asgi_router
    for method in HttpMethod:
        with suppress(HTTPException):
            router.handle_routing(path=request.scope["path"], method=method.value)
            yield method


EXCEPTION_HANDLERS: Final[ExceptionHandlersMap] = {
    Refusal: _answer_known,
    StoreError: _answer_unavailable,
    MetadataError: _answer_unavailable,
    HTTPException: _answer_unexpected,
    Exception: _answer_unexpected,
}
