"""GET snapshot: the tree of a view, paged."""

import msgspec
from sqlalchemy import Connection

from backend_server.domain.caller import Caller
from backend_server.domain.cursors import Cursor
from backend_server.metadata.database import Database
from backend_server.metadata.drive_rows import load_drive
from backend_server.protocol.identity import DriveId, Sequence
from backend_server.protocol.limits import CHANGES_PAGE_ROWS_MAX
from backend_server.protocol.tree_messages import ChangesPage
from backend_server.services.authorize import authorize_drive
from backend_server.services.feed_page import load_feed_page
from backend_server.services.open_cursor import load_lost_past, open_cursor_of


class LoadSnapshotPage:
    """Reads a drive from its beginning, a page at a time."""

    def __init__(
        self, database: Database, *, cursor_key: bytes, rows_max: int = CHANGES_PAGE_ROWS_MAX
    ) -> None:
        self._database = database
        self._cursor_key = cursor_key
        self._rows_max = rows_max

    async def __call__(
        self, caller: Caller, drive_id: DriveId, after: str | None, since: str | None = None
    ) -> ChangesPage:
        """Return the first page (`after` None), or the one behind the cursor of the last.

        Args:
            since: What the reader has seen up to now. If the drive has lost some of that, the page
                says so, and the snapshot has what was removed since then: what it does not have
                at all was lost, and not removed.

        Raises:
            Refusal: NOT_FOUND; CURSOR_RESET.
        """

        def work(connection: Connection) -> ChangesPage:
            authorize_drive(connection, caller, drive_id)
            drive = load_drive(connection, drive_id)
            key = self._cursor_key
            lost = load_lost_past(connection, drive, since, cursor_key=key) if since else None
            buried = drive.head_sequence
            if lost is not None:
                buried = Sequence(max(lost.kept_through, drive.compacted_through))
            cursor = (
                Cursor(Sequence(0), snapshot_head=buried)
                if after is None
                else open_cursor_of(drive, after, cursor_key=key)
            )
            page = load_feed_page(
                connection,
                caller,
                drive,
                cursor,
                cursor_key=key,
                rows_max=self._rows_max,
            )
            return page if lost is None else msgspec.structs.replace(page, lost=lost)

        return await self._database.read(work)
