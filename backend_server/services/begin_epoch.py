"""A new epoch for drives whose database came back from a backup."""

import random
import secrets
from collections.abc import Callable
from functools import partial
from typing import Final

from sqlalchemy import Connection

from backend_server.domain.epochs import end_epoch
from backend_server.metadata.compaction_rows import load_some_drive_ids
from backend_server.metadata.database import Database
from backend_server.metadata.drive_rows import load_drive
from backend_server.metadata.epoch_rows import store_next_epoch
from backend_server.protocol.identity import DriveId

_DRIVES_AT_ONCE: Final = 500
"""In one transaction: about 50 ms."""


def begin_epoch(connection: Connection, drive_id: DriveId, *, now_ms: int) -> None:
    """End the drive's epoch where its journal ends. Cursors of before are worth nothing then."""
    drive = load_drive(connection, drive_id, for_change=True)
    ended = end_epoch(
        drive.epoch,
        head_sequence=drive.head_sequence,
        now_ms=now_ms,
        chance=random.random(),
    )
    store_next_epoch(connection, drive_id, ended, epoch=secrets.token_hex(8), now_ms=now_ms)


class BeginEpochs:
    """Begins one for every drive of the server."""

    def __init__(self, database: Database, *, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._clock_ms = clock_ms

    async def __call__(self) -> int:
        """Return how many drives there are. Durable on return.

        Cut off, some drives have a new epoch and the others not: run it again. A drive that gets
        two loses nothing by it.
        """
        count, after = 0, ""
        while True:
            drive_ids = await self._database.write(partial(self._begin_some, after=after))
            if not drive_ids:
                return count
            count += len(drive_ids)
            after = drive_ids[-1]

    def _begin_some(self, connection: Connection, *, after: str) -> list[DriveId]:
        drive_ids = load_some_drive_ids(connection, after=after, count_max=_DRIVES_AT_ONCE)
        for drive_id in drive_ids:
            begin_epoch(connection, drive_id, now_ms=self._clock_ms())
        return drive_ids
