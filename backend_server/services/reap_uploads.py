"""Ends pending revisions whose lease is over: their reservation returns, their pins go.

Leases end by the wall clock, for they outlive a server; and a wall clock can be wrong by years for
an hour. Set forward, it takes the leases along: nobody who is sending loses one at once. Set back,
it leaves leases that would end in years: none may last longer than one that is given now.
"""

from collections.abc import Callable
from itertools import groupby
from typing import Final

from sqlalchemy import Connection

from backend_server.metadata.database import Database
from backend_server.metadata.drive_rows import load_drive, store_drive_counters
from backend_server.metadata.upload_rows import (
    UploadRow,
    delete_uploads,
    load_expired,
    load_upload,
    move_leases,
)
from backend_server.protocol.identity import DriveId
from backend_server.protocol.limits import UPLOAD_LEASE_S

REAPED_AT_ONCE_MAX: Final = 500
JUMP_MS_MIN: Final = 60_000
"""A wall clock that goes on by so much more than time does was set."""
_LEASE_MS: Final = round(UPLOAD_LEASE_S * 1000)


class ReapUploads:
    """Run it every minute or so; each run ends at most REAPED_AT_ONCE_MAX uploads.

    Args:
        clock_ms: The wall clock.
        clock_s: Monotonic, to tell when the other was set.
    """

    def __init__(
        self, database: Database, *, clock_ms: Callable[[], int], clock_s: Callable[[], float]
    ) -> None:
        self._database = database
        self._clock_ms = clock_ms
        self._clock_s = clock_s
        self._wall_ahead_ms = clock_ms() - clock_s() * 1000

    async def __call__(self) -> int:
        """Return how many uploads were ended; as many as the bound means: call again.

        Idempotent. One transaction a drive.
        """
        now_ms = self._clock_ms()
        await self._follow_the_clock(now_ms)
        expired = await self._database.read(
            lambda connection: load_expired(connection, now_ms=now_ms, count_max=REAPED_AT_ONCE_MAX)
        )
        count = 0
        by_drive = sorted(expired, key=lambda upload: upload.drive_id)
        for drive_id, uploads in groupby(by_drive, key=lambda upload: upload.drive_id):
            count += await self._reap(drive_id, list(uploads), now_ms)
        return count

    async def _follow_the_clock(self, now_ms: int) -> None:
        ahead_ms = now_ms - self._clock_s() * 1000
        set_by_ms = round(ahead_ms - self._wall_ahead_ms)
        by_ms = set_by_ms if set_by_ms >= JUMP_MS_MIN else 0
        await self._database.write(
            lambda connection: move_leases(
                connection, by_ms=by_ms, no_later_than_ms=now_ms + _LEASE_MS
            )
        )
        self._wall_ahead_ms = ahead_ms

    async def _reap(self, drive_id: DriveId, uploads: list[UploadRow], now_ms: int) -> int:
        def work(connection: Connection) -> int:
            drive = load_drive(connection, drive_id, for_change=True)
            # Looked at again under the drive's lock: a lease may have been renewed meanwhile.
            current = [load_upload(connection, drive_id, upload.upload_id) for upload in uploads]
            over = [each for each in current if each is not None and each.lease_until_ms < now_ms]
            delete_uploads(connection, drive_id, [upload.upload_id for upload in over])
            store_drive_counters(
                connection,
                drive_id,
                head_sequence=drive.head_sequence,
                quota_used=drive.quota_used,
                quota_reserved=drive.quota_reserved - sum(each.reserved_bytes for each in over),
            )
            return len(over)

        return await self._database.write(work)
