"""Which staged bytes are sealed: those that nobody has changed for long, and at last all.

Nothing is frozen for it. A file that is written in place now and then would get a layer each time,
and the bytes below, which nobody sees any more, would count against what may wait for the server.
"""

from typing import Final, NamedTuple

from mountfs.core.extents import STAGED
from mountfs.core.overlay_laws import Range
from mountfs.state.overlay import Generation, Overlay
from mountfs.state.overlays import Overlays
from mountfs.state.seals import SEALED_BYTES_MAX
from mountfs.state.staging import StagingFiles

QUIET_S: Final = 60.0
FEW_BYTES: Final = 8 << 20
"""Staged bytes that are sealed whenever they were quiet. All are read each time: 8 MiB in 1.4 ms
from the page cache."""
AGAIN_S: Final = 600.0
"""More of them, which may be written to again, are sealed no sooner after the last time."""


class Unsealed(NamedTuple):
    """A generation that has staged bytes and no seal: where those are."""

    generation_id: int
    staged: tuple[Range, ...]
    is_frozen: bool

    @property
    def size_bytes(self) -> int:
        return sum(span.end - span.start for span in self.staged)


class Sealing:
    """One thread: the event loop's."""

    def __init__(self, overlays: Overlays, staging: StagingFiles) -> None:
        self._overlays = overlays
        self._staging = staging
        self._begun_s: dict[int, float] = {}
        """When the seals of large generations were begun, within AGAIN_S."""

    def quiet(self, now_s: float) -> list[Overlay]:
        """Return what nobody has changed for QUIET_S and is not sealed. Monotonic seconds."""
        return [
            overlay
            for overlay in self._overlays
            if overlay.last_change_s <= now_s - QUIET_S and self.unsealed(overlay)
        ]

    def begin(self, overlay: Overlay, now_s: float) -> tuple[Unsealed, ...]:
        """Return what is due to be sealed. A seal of it counts if nobody writes to it from now on:
        its bytes are to be on the platter before the seal is made."""
        self._begun_s = {
            generation_id: begun_s
            for generation_id, begun_s in self._begun_s.items()
            if now_s - begun_s < AGAIN_S
        }
        due = tuple(
            each
            for each in self.unsealed(overlay)
            if each.is_frozen
            or each.size_bytes <= FEW_BYTES
            or each.generation_id not in self._begun_s
        )
        for each in due:
            self._begun_s[each.generation_id] = now_s
            self._staging.begin_seal(each.generation_id)
        return due

    def unsealed(self, overlay: Overlay) -> list[Unsealed]:
        return [
            Unsealed(generation.generation_id, staged, generation.is_frozen)
            for generation in overlay.generations
            if not self._staging.is_sealed(generation.generation_id)
            if (staged := _staged_of(generation))
        ]

    def seal_all(self) -> None:
        """Remember what all staged bytes are, for the next opening. Nothing is written after it."""
        room = SEALED_BYTES_MAX
        for overlay in self._overlays:
            self._overlays.freeze(overlay)
            for each in self.unsealed(overlay):
                if room > 0:
                    self._staging.begin_seal(each.generation_id)
                    seal = self._staging.make_seal(each.generation_id, each.staged)
                    self._staging.keep_seal(each.generation_id, seal)
                    room -= each.size_bytes


def _staged_of(generation: Generation) -> tuple[Range, ...]:
    return tuple(
        Range(extent.start, extent.end) for extent in generation.extents if extent.place == STAGED
    )
