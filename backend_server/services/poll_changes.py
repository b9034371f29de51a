"""POST changes/poll: waits until a drive moves past the cursor that a device has applied."""

import anyio
from sqlalchemy import Connection

from backend_server.domain.caller import Caller
from backend_server.domain.cursors import CursorInvalid, open_cursor
from backend_server.domain.refusals import Refusal
from backend_server.metadata.database import Database
from backend_server.metadata.drive_rows import load_heads
from backend_server.notify.change_hub import ChangeHub, HubFull
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import DriveId
from backend_server.protocol.tree_messages import PollAnswer, PollRequest

# A device polls its views; nobody has more than this many.
POLL_CURSORS_MAX = 1000
_RETRY_WHEN_CLOSING_S = 1.0
_RETRY_WHEN_FULL_S = 5.0


class PollChanges:
    """Long poll over all views of a device."""

    def __init__(self, database: Database, hub: ChangeHub, *, cursor_key: bytes) -> None:
        self._database = database
        self._hub = hub
        self._cursor_key = cursor_key

    async def __call__(self, caller: Caller, request: PollRequest, hold_s: float) -> PollAnswer:
        """Return which drives moved, after at most `hold_s` seconds; empty when none did.

        A drive whose cursor is worthless, or that the caller may not see (any more), counts as
        moved: asking for its changes says what is the matter. Cancelling leaves nothing behind.

        Raises:
            Refusal: MALFORMED (too many cursors); BUSY (too many polls).
        """
        if len(request.cursors) > POLL_CURSORS_MAX:
            raise Refusal(ErrorCode.MALFORMED, f"At most {POLL_CURSORS_MAX} drives a poll.")
        drive_ids = [DriveId(drive_id) for drive_id in request.cursors]
        try:
            # Registered first, looked at second: what is published in between wakes the watch.
            with self._hub.watch(drive_ids) as watch:
                moved = await self._load_moved(caller, request)
                if not moved and not self._hub.is_closed:
                    with anyio.move_on_after(hold_s):
                        await watch.wait()
                    moved = await self._load_moved(caller, request)
        except HubFull as error:
            raise Refusal(ErrorCode.BUSY, "Too many polls.", _RETRY_WHEN_FULL_S) from error
        return PollAnswer(moved, _RETRY_WHEN_CLOSING_S if self._hub.is_closed else 0.0)

    async def _load_moved(self, caller: Caller, request: PollRequest) -> list[str]:
        drive_ids = [DriveId(drive_id) for drive_id in request.cursors]

        def work(connection: Connection) -> list[str]:
            heads = load_heads(connection, caller.account_id, drive_ids)
            moved: list[str] = []
            for drive_id in drive_ids:
                if drive_id not in heads:
                    moved.append(drive_id)
                    continue
                epoch, head_sequence = heads[drive_id]
                try:
                    cursor = open_cursor(
                        request.cursors[drive_id],
                        key=self._cursor_key,
                        drive_id=drive_id,
                        epoch=epoch,
                    )
                except CursorInvalid:
                    moved.append(drive_id)
                    continue
                if cursor.sequence != head_sequence:
                    moved.append(drive_id)
            return moved

        return await self._database.read(work)
