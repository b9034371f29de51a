"""How much room the drive has: the mirrored quota, minus what is written and not yet sent."""

from typing import Final

from mountfs.errors import QuotaExceeded
from mountfs.state.store import StateStore
from mountfs.vfs.interface import Statistics

_BLOCK_SIZE_BYTES: Final = 4096
_FILES_MAX: Final = 1 << 31


class Space:
    def __init__(self, state: StateStore) -> None:
        self._state = state

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
