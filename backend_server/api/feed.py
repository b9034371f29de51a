"""What a drive's tree is and how it changes: snapshot, changes, poll."""

from typing import Any

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery

from backend_server.api.authentication import caller_of
from backend_server.api.bodies import Bodies, answer_json
from backend_server.api.openapi import described
from backend_server.api.use_cases import UseCases
from backend_server.protocol.encoding import MSGPACK
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import DriveId
from backend_server.protocol.limits import POLL_HOLD_S
from backend_server.protocol.tree_messages import ChangesPage, PollAnswer, PollRequest


def feed_routes(use_cases: UseCases, *, bodies: Bodies) -> list[HTTPRouteHandler]:
    """Return the routes that read a drive's tree."""

    @get(
        "/v1/drives/{drive_id:str}/snapshot",
        operation_class=described(
            answers=ChangesPage, answers_media=MSGPACK, refuses=[ErrorCode.CURSOR_RESET]
        ),
    )
    async def get_snapshot(
        request: Request[Any, Any, Any],
        drive_id: FromPath[str],
        after: FromQuery[str | None] = None,
        since: FromQuery[str | None] = None,
    ) -> Response[bytes]:
        """Return a page of the tree as it is; `after` is the cursor of the page before.

        `since` is the cursor of what the reader has seen up to now: if the server came back from a
        backup, the page says what of that is lost.
        """
        caller = await caller_of(request, use_cases.authenticate)
        page = await use_cases.load_snapshot_page(caller, DriveId(drive_id), after, since)
        return await bodies.answer_message(request, page)

    @get(
        "/v1/drives/{drive_id:str}/changes",
        operation_class=described(
            answers=ChangesPage, answers_media=MSGPACK, refuses=[ErrorCode.CURSOR_RESET]
        ),
    )
    async def get_changes(
        request: Request[Any, Any, Any], drive_id: FromPath[str], cursor: FromQuery[str]
    ) -> Response[bytes]:
        """Return a page of what changed behind `cursor`."""
        caller = await caller_of(request, use_cases.authenticate)
        page = await use_cases.load_changes(caller, DriveId(drive_id), cursor)
        return await bodies.answer_message(request, page)

    return [get_snapshot, get_changes]


def poll_routes(use_cases: UseCases, *, bodies: Bodies) -> list[HTTPRouteHandler]:
    """Return the long poll."""

    @post(
        "/v1/changes/poll",
        status_code=200,
        operation_class=described(
            takes=PollRequest, answers=PollAnswer, refuses=[ErrorCode.TOO_LARGE]
        ),
    )
    async def poll_changes(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Wait until a drive moves past its cursor; empty after a quiet while."""
        caller = await caller_of(request, use_cases.authenticate)
        message = await bodies.read_json(request, PollRequest)
        return answer_json(await use_cases.poll_changes(caller, message, POLL_HOLD_S))

    return [poll_changes]
