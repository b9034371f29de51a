"""How much room there is: the mirrored quota, and the disk's share for what is not sent yet."""

from typing import Final

from mountfs.core.back_pressure import PRESSURE_FROM, pause_s
from mountfs.errors import QuotaExceeded
from mountfs.state.store import StateStore
from mountfs.vfs.interface import Statistics

_BLOCK_SIZE_BYTES: Final = 4096
_COUNTS_A_SHARE: Final = 50
"""Counting takes a look at everything that waits."""
_FILES_MAX: Final = 1 << 31


class Space:
    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._counted_bytes = 0
        self.is_online = False

    def pending_growth_bytes(self) -> int:
        """Return by how much files written here outgrow what the server counts; holes are free."""
        growth = 0
        for overlay in self._state.overlays:
            committed = overlay.source.size_bytes if overlay.source else 0
            growth += min(overlay.size_bytes - committed, overlay.held_bytes)
        return growth

    def check_growth(self, growth_bytes: int) -> None:
        """Refuse a write that the quota has no room for.

        Raises:
            QuotaExceeded: Nothing was written.
        """
        quota = self._state.quota
        if growth_bytes <= 0 or not quota.limit_bytes:
            return
        room = quota.limit_bytes - quota.used_bytes
        # Dirty bytes bound the growth from above and cost nothing to know: the exact sum is only
        # made when they could matter.
        if growth_bytes + self._state.overlays.dirty_bytes < room:
            return
        if growth_bytes + self.pending_growth_bytes() <= room:
            return
        self._state.overlays.recount()  # bytes written over and over were counted over and over
        if growth_bytes + self.pending_growth_bytes() > room:
            raise QuotaExceeded("the drive's quota has no room for this write")

    def pause_s(self) -> float:
        """Return how long to keep the write that was just made: see core/back_pressure."""
        overlays = self._state.overlays
        limit_bytes = overlays.staging_limit_bytes
        if not self.is_online or overlays.dirty_bytes <= PRESSURE_FROM * limit_bytes:
            return 0.0
        if abs(overlays.dirty_bytes - self._counted_bytes) > limit_bytes / _COUNTS_A_SHARE:
            overlays.recount()  # bytes written over and over were counted over and over
            self._counted_bytes = overlays.dirty_bytes
        return pause_s(overlays.dirty_bytes, limit_bytes)

    def statistics(self) -> Statistics:
        quota = self._state.quota
        free = max(quota.limit_bytes - quota.used_bytes - self.pending_growth_bytes(), 0)
        return Statistics(
            block_size_bytes=_BLOCK_SIZE_BYTES,
            blocks=quota.limit_bytes // _BLOCK_SIZE_BYTES,
            blocks_free=free // _BLOCK_SIZE_BYTES,
            files=_FILES_MAX,
            files_free=_FILES_MAX,
            name_bytes_max=255,
        )
