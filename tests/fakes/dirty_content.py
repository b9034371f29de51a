"""Dirty bytes in memory, and the model of what they mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from backend_server.protocol.identity import DriveId, NodeId
from fakes.drive_server import DRIVE
from mountfs.core.content import ContentSource, DirtyRange

NODE: Final = NodeId(70_000)


@dataclass(frozen=True)
class MemoryContent:
    """`DirtyContent` over `data`, which is all of the new file where it is dirty."""

    data: bytes
    dirty: Sequence[DirtyRange]
    base: ContentSource | None = None
    base_visible_bytes: int = 0
    node_id: NodeId = NODE
    drive_id: DriveId = DRIVE
    is_base_kept: bool = True

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def read_dirty(self, start: int, length: int) -> bytes:
        assert any(span.start <= start and start + length <= span.end for span in self.dirty)
        return self.data[start : start + length]


def whole(
    data: bytes, *, base: ContentSource | None = None, node_id: int = 70_000
) -> MemoryContent:
    """Return content that was written from end to end."""
    dirty = [DirtyRange(0, len(data))] if data else []
    return MemoryContent(data, dirty, base, 0, NodeId(node_id))


def overwritten(base: ContentSource, data: bytes, *ranges: tuple[int, int]) -> MemoryContent:
    """Return content of which only `ranges` of `data` were written over `base`."""
    visible = min(base.manifest.size_bytes, len(data))
    dirty = [DirtyRange(*one) for one in ranges]
    return MemoryContent(data, dirty, base, visible, base.node_id)
