"""fsync(2): what was written before is on the platter when it returns.

Staged bytes first, then the row that says they can be trusted, then the write-ahead log that
holds the row and every small write. Callers that come while a sync of the log runs share the next
one: under many writers the platter is asked once for all of them.

A disk that answers at once is asked from the event loop: a sync of the log takes 0.1 to 0.3 ms on
a good disk, going to a thread and back another 0.13 ms. That is a tenth of what a transaction of
SQLite costs on the mount. One slow answer, and threads do it for the next ten seconds.
"""

from typing import Final

import trio

from mountfs.clock import Clock
from mountfs.errors import StagedBytesLost
from mountfs.state.database import Database
from mountfs.state.overlay import Overlay
from mountfs.state.overlays import Overlays

_THREADS: Final = 2
_AT_ONCE_S: Final = 0.001
_SLOW_FOR_S: Final = 10.0


class Durability:
    def __init__(self, database: Database, overlays: Overlays, clock: Clock) -> None:
        self._database = database
        self._overlays = overlays
        self._clock = clock
        self._limiter = trio.CapacityLimiter(_THREADS)
        self._log_lock = trio.Lock()
        self._rows_synced = -1
        self._in_threads_until_s = 0.0
        self._was_quick = False

    async def sync_content(self, overlay: Overlay | None) -> None:
        """Put a file's content, and all names and attributes, on the platter.

        Checkpoint if any of it is not there yet. Raises `StagedBytesLost`, `LocalStorageBroken`.
        """
        if overlay is not None:
            through = overlay.touched
            generation_ids = self._overlays.unsynced(overlay)
            for generation_id in generation_ids:
                is_there = await trio.to_thread.run_sync(
                    self._overlays.sync_file, generation_id, limiter=self._limiter
                )
                if not is_there and overlay.holds(generation_id):
                    raise StagedBytesLost("what was written is gone: see `mountfs check`")
            self._overlays.mark_synced(overlay, through)
        await self.sync_log()

    async def sync_log(self) -> None:
        """Put all rows written so far on the platter. Checkpoint if there is one that is not."""
        wanted = self._database.rows_changed
        if self._rows_synced >= wanted:
            return  # as after creating a file: its fsync(2) brought the folder's rows along
        async with self._log_lock:
            if self._rows_synced >= wanted:
                return
            covered = self._database.rows_changed
            began_s = self._clock.monotonic_s()
            if self._was_quick and began_s >= self._in_threads_until_s:
                self._database.make_durable()
            else:
                await trio.to_thread.run_sync(self._database.make_durable, limiter=self._limiter)
            ended_s = self._clock.monotonic_s()
            self._was_quick = ended_s - began_s < _AT_ONCE_S
            if not self._was_quick:
                self._in_threads_until_s = ended_s + _SLOW_FOR_S
            self._rows_synced = covered
