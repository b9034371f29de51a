"""Which revision names a chunk: found in one walk over segments, manifests and revisions. Pure."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from backend_server.protocol.identity import ChunkId
from backend_server.protocol.manifests import Entry


class Witness(NamedTuple):
    """A revision that names a chunk of `length` bytes."""

    node_id: int
    revision: int
    length: int
    is_head: bool


class Witnesses:
    """Show it all segments, then all manifests, then all revisions.

    Keeps something only of segments and manifests that name a wanted chunk. `found`: a witness of
    each wanted chunk that has one, a head where a head names it.
    """

    def __init__(self, wanted: Collection[ChunkId]) -> None:
        self.found: dict[ChunkId, Witness] = {}
        self._wanted = wanted
        self._of_run: dict[bytes, list[Entry]] = {}
        """Wanted entries by segment id, or by manifest id where that is whole in its row."""
        self._runs_of: dict[bytes, list[bytes]] = {}

    def see_segment(self, segment_id: bytes, entries: Iterable[Entry]) -> None:
        """Note what a segment names."""
        wanted = [entry for entry in entries if entry.chunk_id in self._wanted]
        if wanted:
            self._of_run[segment_id] = wanted

    def see_manifest(
        self, manifest_id: bytes, entries: Iterable[Entry], segment_ids: Sequence[bytes]
    ) -> None:
        """Note what a manifest names, itself or in its segments."""
        runs = [each for each in dict.fromkeys(segment_ids) if each in self._of_run]
        wanted = [entry for entry in entries if entry.chunk_id in self._wanted]
        if wanted:
            self._of_run[manifest_id] = wanted
            runs.append(manifest_id)
        if runs:
            self._runs_of[manifest_id] = runs

    def see_revision(
        self, node_id: int, revision: int, manifest_id: bytes, *, is_head: bool
    ) -> None:
        """Take a revision as the witness of what its manifest names."""
        for run in self._runs_of.get(manifest_id, ()):
            for entry in self._of_run[run]:
                known = self.found.get(entry.chunk_id)
                if known is None or (is_head and not known.is_head):
                    self.found[entry.chunk_id] = Witness(node_id, revision, entry.length, is_head)
