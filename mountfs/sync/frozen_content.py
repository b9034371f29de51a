"""Frozen generations as the delta engine wants them: `core.content.DirtyContent`."""

import os
from collections.abc import Sequence

from backend_server.protocol.identity import DriveId, NodeId
from mountfs.core.content import ContentSource, DirtyRange
from mountfs.core.extents import STAGED
from mountfs.core.layers import FromLayer, base_visible_bytes, dirty_ranges, parts
from mountfs.errors import LocalStorageBroken, StagedBytesLost
from mountfs.state.overlay import Generation, Overlay
from mountfs.state.overlays import Overlays
from mountfs.state.staging import StagingFiles


class FrozenContent:
    """An overlay's lowest generations, all frozen. Made on the event loop; read from any thread.

    Small writes are copied when it is made, staged bytes are read through descriptors of its own:
    the overlay may grow, move or be disposed meanwhile. `close` it.
    """

    def __init__(
        self,
        drive_id: DriveId,
        overlay: Overlay,
        overlays: Overlays,
        staging: StagingFiles,
        base: ContentSource | None,
        *,
        generations_count: int,
        is_base_kept: bool = True,
    ) -> None:
        self.drive_id = drive_id
        self.is_base_kept = is_base_kept
        self.node_id = NodeId(overlay.node_id)
        self.base = base
        self._layers: Sequence[Generation] = overlay.generations[:generations_count]
        base_size = overlay.source.size_bytes if overlay.source else 0
        self.size_bytes = self._layers[-1].size_bytes if self._layers else base_size
        self.base_visible_bytes = min(base_visible_bytes(self._layers, base_size), self.size_bytes)
        self.dirty: Sequence[DirtyRange] = dirty_ranges(self._layers, self.size_bytes)
        self._small = {
            extent.place: overlays.small_write(extent.place)
            for layer in self._layers
            for extent in layer.extents
            if extent.place != STAGED
        }
        self._staging = staging
        self._descriptors: dict[int, int] = {}
        try:
            for generation_id in self._staged_generations():
                self._descriptors[generation_id] = os.open(
                    staging.path(generation_id), os.O_RDONLY | os.O_CLOEXEC
                )
        except FileNotFoundError as error:
            self.close()
            raise StagedBytesLost(
                "what is to be sent is gone from the staging area: see `mountfs check`"
            ) from error
        except OSError as error:
            self.close()
            raise LocalStorageBroken(f"cannot open what is to be sent: {error}") from error

    def read_dirty(self, start: int, length: int) -> bytes:
        """Return dirty bytes; the range lies inside one dirty range. Any thread.

        Raises:
            StagedBytesLost: They are not what was written: nothing of it may be sent.
        """
        pieces = []
        for part in parts(self._layers, start, start + length):
            assert isinstance(part, FromLayer)
            layer, extent = self._layers[part.layer_index], part.extent
            if extent.place == STAGED:
                pieces.append(self._pread(layer.generation_id, extent.start, extent.end))
            else:
                data = self._small[extent.place]
                pieces.append(data[extent.start - extent.origin : extent.end - extent.origin])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _staged_generations(self) -> set[int]:
        """Return those of which a staged byte shows: one that is covered may be damaged."""
        return {
            self._layers[part.layer_index].generation_id
            for part in parts(self._layers, 0, self.size_bytes)
            if isinstance(part, FromLayer) and part.extent.place == STAGED
        }

    def close(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def _pread(self, generation_id: int, start: int, end: int) -> bytes:
        descriptor = self._descriptors[generation_id]
        return self._staging.read_through(descriptor, generation_id, start, end - start)
