"""What the drive is thought to have, so that it is neither sent nor announced.

The base of an edit is certain: the server keeps what a head was made of. The rest is memory: what
this device has in its cache came from the drive or was sent there, and what is similar was a head
once. Memory may be wrong (an upload was reaped, a server went back to a backup). The commit then
answers that something is missing, the content is sent again, and the second time, seen here by the
same content of the same node, nothing but the base is trusted. What the server said that it lost
(`lost_chunks`) is never trusted to be there.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from backend_server.protocol.identity import ChunkId, DriveId, ManifestId, NodeId
from mountfs.blocks.delta_choice import DeltaChoice
from mountfs.blocks.lost_chunks import LostChunks
from mountfs.blocks.store import ChunkStore
from mountfs.core.content import ContentSource

IsKnown = Callable[[ChunkId], bool]

_CONTENTS_MAX: Final = 4096


class Trust:
    """What is believed while one content is sent. `relied` says whether memory was needed."""

    def __init__(
        self,
        store: ChunkStore,
        drive_id: DriveId,
        base: ContentSource | None,
        similar: Sequence[ContentSource],
        known: IsKnown | None,
        *,
        certain_only: bool,
        lost: LostChunks | None = None,
    ) -> None:
        self._lost = lost
        self._store = store
        self._drive_id = drive_id
        self._base = base
        self._similar = similar
        self._known = known
        self.certain_only = certain_only
        self.relied = False

    @property
    def sources(self) -> list[ContentSource]:
        """The content that the drive is taken to have, the likeliest first."""
        trusted = (self._base, *(() if self.certain_only else self._similar))
        return [source for source in trusted if source is not None]

    def known(self, chunk_ids: Sequence[ChunkId], choice: DeltaChoice) -> set[ChunkId]:
        """Return those of `chunk_ids` that need not be sent."""
        if self._lost is not None and (lost := self._lost.among(chunk_ids)):
            # Ours may be the last copy: it is sent, though base and memory say that it is there.
            chunk_ids = [chunk_id for chunk_id in chunk_ids if chunk_id not in lost]
        certain = choice.known_of_base(chunk_ids)
        if self.certain_only:
            return certain
        rest = [chunk_id for chunk_id in chunk_ids if chunk_id not in certain]
        remembered = choice.known_of_all(rest) | (
            set(rest) - self._store.lacking(self._drive_id, rest)
        )
        if self._known is not None:
            remembered |= {chunk_id for chunk_id in rest if self._known(chunk_id)}
        self.relied = self.relied or bool(remembered)
        return certain | remembered

    def is_base(self, manifest_id: bytes) -> bool:
        """Whether this is the manifest of the base."""
        return self._base is not None and self._base.manifest.manifest_id == manifest_id

    def is_lost(self, chunk_id: ChunkId) -> bool:
        """Whether the server said that it lost a chunk."""
        return self._lost is not None and bool(self._lost.among([chunk_id]))


class TrustMemory:
    """Which content of which node was last told on trust."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[DriveId, NodeId], ManifestId] = OrderedDict()

    def note(self, drive_id: DriveId, node_id: NodeId, manifest_id: ManifestId) -> None:
        """Remember that this content was told on trust."""
        self._told[drive_id, node_id] = manifest_id
        self._told.move_to_end((drive_id, node_id))
        if len(self._told) > _CONTENTS_MAX:
            self._told.popitem(last=False)

    def forget(self, drive_id: DriveId, node_id: NodeId) -> None:
        """Something else was told of the node, and not on trust."""
        self._told.pop((drive_id, node_id), None)

    def was_told(self, drive_id: DriveId, node_id: NodeId, manifest_id: ManifestId) -> bool:
        """Whether the very same was told before: then it was not believed. Forgets it."""
        if self._told.get((drive_id, node_id)) != manifest_id:
            return False
        del self._told[drive_id, node_id]
        return True
