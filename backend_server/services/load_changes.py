"""GET changes: what changed behind a cursor."""

from collections.abc import Callable

import structlog
from sqlalchemy import Connection

from backend_server.domain.caller import Caller
from backend_server.domain.refusals import Refusal
from backend_server.metadata.database import Database
from backend_server.metadata.drive_rows import load_drive
from backend_server.protocol.identity import DriveId
from backend_server.protocol.limits import CHANGES_PAGE_ROWS_MAX
from backend_server.protocol.tree_messages import ChangesPage
from backend_server.services.authorize import authorize_drive
from backend_server.services.begin_epoch import begin_epoch
from backend_server.services.feed_page import load_feed_page
from backend_server.services.open_cursor import CursorAhead, open_cursor_of

_log = structlog.get_logger()


class LoadChanges:
    """Reads the feed behind a cursor, a page at a time."""

    def __init__(
        self,
        database: Database,
        *,
        cursor_key: bytes,
        clock_ms: Callable[[], int],
        rows_max: int = CHANGES_PAGE_ROWS_MAX,
    ) -> None:
        self._database = database
        self._cursor_key = cursor_key
        self._clock_ms = clock_ms
        self._rows_max = rows_max

    async def __call__(self, caller: Caller, drive_id: DriveId, cursor: str) -> ChangesPage:
        """Return the next page. Also continues a snapshot whose cursor it is given.

        A cursor ahead of the drive proves that the database came back from a backup: a new epoch
        begins by it, if no administrator began one.

        Raises:
            Refusal: NOT_FOUND; CURSOR_RESET.
        """

        def work(connection: Connection) -> ChangesPage:
            authorize_drive(connection, caller, drive_id)
            drive = load_drive(connection, drive_id)
            return load_feed_page(
                connection,
                caller,
                drive,
                open_cursor_of(drive, cursor, cursor_key=self._cursor_key),
                cursor_key=self._cursor_key,
                rows_max=self._rows_max,
            )

        try:
            return await self._database.read(work)
        except CursorAhead:
            await self._begin_epoch(drive_id, cursor)
            raise

    async def _begin_epoch(self, drive_id: DriveId, token: str) -> None:
        def work(connection: Connection) -> None:
            drive = load_drive(connection, drive_id, for_change=True)
            try:
                open_cursor_of(drive, token, cursor_key=self._cursor_key)
            except CursorAhead:
                begin_epoch(connection, drive_id, now_ms=self._clock_ms())
                _log.warning(
                    "a device knows more than the database, which came back from a backup: a new "
                    "epoch begins. After a restore run `mountfs-server restored` before serving",
                    drive_id=drive_id,
                )
            except Refusal:
                pass  # another request was first

        await self._database.write(work)
