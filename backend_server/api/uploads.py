"""POST /v1/drives/{d}/uploads: announce a pending revision."""

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
from backend_server.protocol.limits import MIB
from backend_server.protocol.transfer_messages import UploadAnswer, UploadRequest

ANNOUNCEMENT_BYTES_MAX = 1 * MIB
"""UPLOAD_CHUNKS_MAX chunks of 40 bytes take a third of it."""


def upload_routes(use_cases: UseCases, *, bodies: Bodies) -> list[HTTPRouteHandler]:
    """Return the routes of uploads."""

    @post(
        "/v1/drives/{drive_id:str}/uploads",
        status_code=200,
        operation_class=described(
            takes=UploadRequest,
            takes_media=MSGPACK,
            answers=UploadAnswer,
            answers_media=MSGPACK,
            refuses=[ErrorCode.TOO_LARGE, ErrorCode.QUOTA_EXCEEDED],
        ),
    )
    async def announce_upload(
        request: Request[Any, Any, Any], drive_id: FromPath[str]
    ) -> Response[bytes]:
        """Announce an upload; tells which chunks are missing."""
        caller = await caller_of(request, use_cases.authenticate)
        message = await bodies.read_message(
            request, UploadRequest, bytes_max=ANNOUNCEMENT_BYTES_MAX
        )
        answer = await use_cases.announce_upload(caller, DriveId(drive_id), message)
        return await bodies.answer_message(request, answer)

    return [announce_upload]
