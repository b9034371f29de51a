"""Which staged bytes are sealed: those that nobody has changed for long, and at last all."""

from typing import Final

from mountfs.core.extents import STAGED
from mountfs.core.overlay_laws import Range
from mountfs.state.overlay import Generation, Overlay
from mountfs.state.overlays import Overlays
from mountfs.state.seals import SEALED_BYTES_MAX
from mountfs.state.staging import StagingFiles

GENERATIONS_MAX: Final = 16
"""Layers of one file, above which none is frozen before it is sent: each costs its reads a look."""


class Sealing:
    """One thread: the event loop's."""

    def __init__(self, overlays: Overlays, staging: StagingFiles) -> None:
        self._overlays = overlays
        self._staging = staging

    def freeze_quiet(self, since_s: float) -> list[Overlay]:
        """Freeze what nobody has changed since `since_s` (monotonic); return what is not sealed.

        A file that is written now and then is given no more than GENERATIONS_MAX this way.
        """
        found = []
        for overlay in self._overlays:
            if overlay.last_change_s > since_s or not overlay.generations:
                continue
            if overlay.generations[-1].is_staged and len(overlay.generations) < GENERATIONS_MAX:
                self._overlays.freeze(overlay)
            if self.unsealed(overlay):
                found.append(overlay)
        return found

    def unsealed(self, overlay: Overlay) -> list[tuple[int, tuple[Range, ...]]]:
        """Return the frozen generations that have staged bytes and no seal: where those are."""
        return [
            (generation.generation_id, staged)
            for generation in overlay.generations
            if generation.is_frozen and not self._staging.is_sealed(generation.generation_id)
            if (staged := _staged_of(generation))
        ]

    def seal_all(self) -> None:
        """Remember what all staged bytes are, for the next opening. Nothing is written after it."""
        room = SEALED_BYTES_MAX
        for overlay in self._overlays:
            self._overlays.freeze(overlay)
            for generation_id, staged in self.unsealed(overlay):
                if room > 0:
                    self._staging.seal(generation_id, staged)
                    room -= sum(span.end - span.start for span in staged)


def _staged_of(generation: Generation) -> tuple[Range, ...]:
    return tuple(
        Range(extent.start, extent.end) for extent in generation.extents if extent.place == STAGED
    )
