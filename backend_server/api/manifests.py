"""POST /v1/drives/{d}/manifests/fetch: the entries of revisions."""

from typing import Any

from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from backend_server.api.authentication import caller_of
from backend_server.api.bodies import Bodies
from backend_server.api.openapi import described
from backend_server.api.use_cases import UseCases
from backend_server.protocol.encoding import MSGPACK
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import DriveId
from backend_server.protocol.limits import KIB
from backend_server.protocol.transfer_messages import ManifestsAnswer, ManifestsRequest

MANIFESTS_REQUEST_BYTES_MAX = 64 * KIB
"""MANIFESTS_PER_FETCH_MAX of two ids take less than half of it."""


def manifest_routes(use_cases: UseCases, *, bodies: Bodies) -> list[HTTPRouteHandler]:
    """Return the routes of manifests."""

    @post(
        "/v1/drives/{drive_id:str}/manifests/fetch",
        status_code=200,
        operation_class=described(
            takes=ManifestsRequest,
            takes_media=MSGPACK,
            answers=ManifestsAnswer,
            answers_media=MSGPACK,
            refuses=[ErrorCode.TOO_LARGE],
        ),
    )
    async def fetch_manifests(
        request: Request[Any, Any, Any], drive_id: FromPath[str]
    ) -> Response[bytes]:
        """Return manifests whole, or as a splice of one that the caller has."""
        caller = await caller_of(request, use_cases.authenticate)
        message = await bodies.read_message(
            request, ManifestsRequest, bytes_max=MANIFESTS_REQUEST_BYTES_MAX
        )
        answer = await use_cases.fetch_manifests(caller, DriveId(drive_id), message)
        return await bodies.answer_message(request, answer)

    return [fetch_manifests]
