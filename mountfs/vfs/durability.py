"""fsync(2): what was written before is on the platter when it returns.

Staged bytes first, then the row that says they can be trusted, then the write-ahead log that
holds the row and every small write. Callers that come while a sync of the log runs share the next
one: under many writers the platter is asked once for all of them.
"""

import trio

from mountfs.state.database import Database
from mountfs.state.overlay import Overlay
from mountfs.state.overlays import Overlays

_THREADS = 2


class Durability:
    def __init__(self, database: Database, overlays: Overlays) -> None:
        self._database = database
        self._overlays = overlays
        self._limiter = trio.CapacityLimiter(_THREADS)
        self._log_lock = trio.Lock()
        self._rows_synced = -1

    async def sync_content(self, overlay: Overlay | None) -> None:
        """Put a file's content, and all names and attributes, on the platter.

        Checkpoint if any of it is not there yet.
        """
        if overlay is not None:
            through = overlay.touched
            generation_ids = self._overlays.unsynced(overlay)
            for generation_id in generation_ids:
                await trio.to_thread.run_sync(
                    self._overlays.sync_file, generation_id, limiter=self._limiter
                )
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
            await trio.to_thread.run_sync(self._database.make_durable, limiter=self._limiter)
            self._rows_synced = covered
