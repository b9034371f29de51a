"""Blocks in and out, many in one streamed body."""

from typing import Any

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery
from litestar.types import ASGIApp

from backend_server.api.authentication import caller_of
from backend_server.api.bodies import Bodies, FramesAnswer, read_parts, refuse_declared_length
from backend_server.api.openapi import described
from backend_server.api.use_cases import UseCases
from backend_server.domain.refusals import Refusal
from backend_server.protocol.encoding import FRAMES, MSGPACK
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import DriveId, UploadId
from backend_server.protocol.limits import BLOCKS_BODY_BYTES_MAX, MIB
from backend_server.protocol.transfer_messages import BlocksAnswer, FetchRequest, LostBlocksPage

FETCH_REQUEST_BYTES_MAX = 1 * MIB
"""FETCH_CHUNKS_MAX chunks of two ids take less than a third of it."""


def block_routes(use_cases: UseCases, *, bodies: Bodies) -> list[HTTPRouteHandler]:
    """Return the routes of blocks."""

    @post(
        "/v1/drives/{drive_id:str}/blocks",
        status_code=200,
        operation_class=described(
            takes_media=FRAMES,
            answers=BlocksAnswer,
            answers_media=MSGPACK,
            refuses=[ErrorCode.TOO_LARGE, ErrorCode.CHUNK_MISMATCH],
        ),
    )
    async def receive_blocks(
        request: Request[Any, Any, Any], drive_id: FromPath[str], upload: FromQuery[str]
    ) -> Response[bytes]:
        """Keep the blocks of an upload; all are durable when this answers."""
        caller = await caller_of(request, use_cases.authenticate)
        refuse_declared_length(request, bytes_max=BLOCKS_BODY_BYTES_MAX)
        try:
            upload_id = UploadId(bytes.fromhex(upload))
        except ValueError:
            raise Refusal(ErrorCode.MALFORMED, "`upload` is hexadecimal.") from None
        answer = await use_cases.receive_blocks(
            caller, DriveId(drive_id), upload_id, read_parts(request)
        )
        return await bodies.answer_message(request, answer)

    @post(
        "/v1/drives/{drive_id:str}/blocks/fetch",
        status_code=200,
        operation_class=described(
            takes=FetchRequest,
            takes_media=MSGPACK,
            answers_media=FRAMES,
            refuses=[ErrorCode.TOO_LARGE],
        ),
    )
    async def fetch_blocks(request: Request[Any, Any, Any], drive_id: FromPath[str]) -> ASGIApp:
        """Stream blocks in the order asked."""
        caller = await caller_of(request, use_cases.authenticate)
        message = await bodies.read_message(
            request, FetchRequest, bytes_max=FETCH_REQUEST_BYTES_MAX
        )
        sender = await use_cases.fetch_blocks(caller, DriveId(drive_id), message)
        return FramesAnswer(sender.send)

    @get(
        "/v1/drives/{drive_id:str}/blocks/lost",
        operation_class=described(answers=LostBlocksPage, answers_media=MSGPACK),
    )
    async def get_lost_blocks(
        request: Request[Any, Any, Any], drive_id: FromPath[str], after: FromQuery[str] = ""
    ) -> Response[bytes]:
        """Return which blocks the server lost; send those that are still at hand."""
        caller = await caller_of(request, use_cases.authenticate)
        page = await use_cases.load_lost_blocks(caller, DriveId(drive_id), after)
        return await bodies.answer_message(request, page)

    return [receive_blocks, fetch_blocks, get_lost_blocks]
