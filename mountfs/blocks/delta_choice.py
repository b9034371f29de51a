"""Which chunk on this device each new chunk of an upload is told against.

`core.delta_base` decides; here are the manifests it decides over: the file's own base, and files
that are likely similar (the one that this one replaces).
"""

from collections.abc import Iterable, Sequence

from backend_server.protocol.identity import ChunkId, DriveId
from mountfs.blocks.builder import NewChunk
from mountfs.blocks.encoder import DeltaBase
from mountfs.blocks.store import ChunkStore
from mountfs.core.content import Manifest
from mountfs.core.delta_base import choose_delta_bases, places_of


class _Guide:
    """One old manifest and how far the new file has followed it."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self._places: dict[ChunkId, int] | None = None
        self.expected = 0

    @property
    def places(self) -> dict[ChunkId, int]:
        if self._places is None:
            self._places = places_of(self.manifest)
        return self._places

    def index_at(self, offset: int) -> int:
        manifest = self.manifest
        return manifest.index_at(offset) if offset < manifest.size_bytes else len(manifest.entries)


class DeltaChoice:
    """Chooses for the chunks of one file, which must come in file order.

    Args:
        base: None also for a base that the server does not have.
    """

    def __init__(
        self,
        store: ChunkStore,
        drive_id: DriveId,
        base: Manifest | None,
        similar: Iterable[Manifest],
        size_bytes: int,
    ) -> None:
        self._store = store
        self._drive_id = drive_id
        self._base = base
        manifests = [base] if base is not None and base.entries else []
        manifests += [manifest for manifest in similar if manifest.entries]
        self._guides = [_Guide(manifest) for manifest in manifests]
        self._size_bytes = size_bytes
        self._end = 0
        """Where the last chunk seen ended."""

    def known_of_base(self, chunk_ids: Iterable[ChunkId]) -> set[ChunkId]:
        """Return those of `chunk_ids` that the file's own base names."""
        return _named(chunk_ids, [each for each in self._guides if each.manifest is self._base])

    def known_of_all(self, chunk_ids: Iterable[ChunkId]) -> set[ChunkId]:
        """Return those of `chunk_ids` that one of the old manifests names."""
        return _named(chunk_ids, self._guides)

    def first_at_hand(self) -> DeltaBase | None:
        """Return the first chunk of the likeliest old file that is on this device."""
        for guide in self._guides:
            first = guide.manifest.entries[0]
            base = None if first.is_hole else self.at_hand(first.chunk_id)
            if base is not None:
                return base
        return None

    def choose(self, chunks: Sequence[NewChunk]) -> list[ChunkId | None]:
        """Return for each chunk the old one to tell it against, if there is a likely one."""
        chosen: list[ChunkId | None] = []
        run: list[NewChunk] = []
        for chunk in chunks:
            run.append(chunk)
            if chunk.ends_stretch:
                chosen += self._choose_run(run)
                run = []
        return chosen + self._choose_run(run) if run else chosen

    def at_hand(self, chunk_id: ChunkId) -> DeltaBase | None:
        """Return the chunk if it is on this device; a base is never fetched."""
        plaintext = self._store.get(self._drive_id, chunk_id)
        return None if plaintext is None else DeltaBase(chunk_id, plaintext)

    def _choose_run(self, run: Sequence[NewChunk]) -> list[ChunkId | None]:
        """`run` lies in one stretch, without gaps."""
        replaces = run[0].replaces
        if replaces is not None:
            self._end = run[-1].start + run[-1].entry.length
            return [self._base.entries[replaces].chunk_id if self._base is not None else None]
        ids = [chunk.entry.chunk_id for chunk in run]
        is_start = run[0].start != self._end or run[0].start == 0
        self._end = run[-1].start + run[-1].entry.length
        chosen: list[ChunkId | None] = [None] * len(run)
        for guide in self._guides:
            if is_start:
                guide.expected = guide.index_at(run[0].start)
            end = None
            if run[-1].ends_stretch:
                # Inside a file that keeps its base, what follows keeps its place.
                is_inside = guide.manifest is self._base and self._end < self._size_bytes
                end = guide.index_at(self._end) if is_inside else len(guide.manifest.entries)
            indices, guide.expected = choose_delta_bases(
                ids, guide.manifest, guide.places, expected=guide.expected, end=end
            )
            for nth, index in enumerate(indices):
                if chosen[nth] is None and index is not None:
                    chosen[nth] = guide.manifest.entries[index].chunk_id
        return chosen


def _named(chunk_ids: Iterable[ChunkId], guides: Iterable[_Guide]) -> set[ChunkId]:
    asked = set(chunk_ids)
    named: set[ChunkId] = set()
    for guide in guides:
        named |= asked & guide.places.keys()
    return named
