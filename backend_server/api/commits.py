"""POST /v1/drives/{d}/commits: change the tree."""

from typing import Any

from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from backend_server.api.authentication import caller_of
from backend_server.api.bodies import Bodies
from backend_server.api.openapi import described
from backend_server.api.use_cases import UseCases
from backend_server.protocol.commit_messages import CommitAnswer, CommitRequest
from backend_server.protocol.encoding import MSGPACK
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import DriveId
from backend_server.protocol.limits import COMMIT_BODY_BYTES_MAX


def commit_routes(use_cases: UseCases, *, bodies: Bodies) -> list[HTTPRouteHandler]:
    """Return the routes of commits."""

    @post(
        "/v1/drives/{drive_id:str}/commits",
        status_code=200,
        operation_class=described(
            takes=CommitRequest,
            takes_media=MSGPACK,
            answers=CommitAnswer,
            answers_media=MSGPACK,
            refuses=[ErrorCode.TOO_LARGE],
        ),
    )
    async def commit(request: Request[Any, Any, Any], drive_id: FromPath[str]) -> Response[bytes]:
        """Make operations, in order; each has its own answer."""
        caller = await caller_of(request, use_cases.authenticate)
        message = await bodies.read_message(request, CommitRequest, bytes_max=COMMIT_BODY_BYTES_MAX)
        answer = await use_cases.commit_operations(caller, DriveId(drive_id), message)
        return await bodies.answer_message(request, answer)

    return [commit]
