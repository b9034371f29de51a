"""Lets go of what no device needs to be told any more: old journal entries and tombstones.

A device that was away for longer than TOMBSTONE_KEEP_MS is told to start anew (CURSOR_RESET),
which costs it a snapshot and nothing of what was written on it. So does a clock that is set ahead:
everything looks old then, and every device starts anew.
"""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from backend_server.config import JOURNAL_KEEP_S
from backend_server.metadata.compaction_rows import (
    delete_through,
    load_aged_through,
    load_some_drive_ids,
)
from backend_server.metadata.database import Database
from backend_server.metadata.drive_rows import load_drive
from backend_server.protocol.identity import DriveId

TOMBSTONE_KEEP_MS: Final = int(JOURNAL_KEEP_S * 1000)

ROWS_AT_ONCE_MAX: Final = 5_000
"""Sequences that one transaction lets go of: other writers wait for it."""

DRIVES_AT_ONCE_MAX: Final = 500


class CompactJournal:
    """Run it once a day or so. Idempotent; one short transaction at a time."""

    def __init__(
        self,
        database: Database,
        *,
        clock_ms: Callable[[], int],
        keep_ms: int = TOMBSTONE_KEEP_MS,
        rows_at_once_max: int = ROWS_AT_ONCE_MAX,
    ) -> None:
        self._database = database
        self._clock_ms = clock_ms
        self._keep_ms = keep_ms
        self._rows_max = rows_at_once_max

    async def __call__(self) -> int:
        """Return how many rows went, of all drives. Checkpoint."""
        now_ms = self._clock_ms()
        gone = 0
        after = ""
        while drive_ids := await self._some_drives(after):
            for drive_id in drive_ids:
                gone += await self._compact(drive_id, now_ms)
            after = drive_ids[-1]
        return gone

    async def _some_drives(self, after: str) -> list[DriveId]:
        return await self._database.read(
            lambda connection: load_some_drive_ids(
                connection, after=after, count_max=DRIVES_AT_ONCE_MAX
            )
        )

    async def _compact(self, drive_id: DriveId, now_ms: int) -> int:
        def work(connection: Connection) -> int:
            drive = load_drive(connection, drive_id, for_change=True)
            through = load_aged_through(
                connection,
                drive_id,
                before_ms=now_ms - self._keep_ms,
                now_ms=now_ms,
                rows_max=self._rows_max,
            )
            if not through:
                return 0
            return delete_through(connection, drive_id, through, after=drive.compacted_through)

        gone = 0
        while some := await self._database.write(work):
            gone += some
        return gone
