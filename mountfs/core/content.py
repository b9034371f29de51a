"""Content as values: a manifest that can be searched, where it comes from, what is dirty over it.

Who reads clean bytes asks with a `ContentSource`; who sends dirty bytes is given a
`DirtyContent`. At byte `o` a dirty content has: the dirty byte, where a dirty range covers `o`;
else the base's byte, where `o < base_visible_bytes`; else zero.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol

from backend_server.protocol.identity import DriveId, ManifestId, NodeId, RevisionId
from backend_server.protocol.manifests import Entry
from mountfs.errors import Corruption


class Piece(NamedTuple):
    """`length` bytes from byte `within` of entry `entry_index`."""

    entry_index: int
    within: int
    length: int


class Manifest:
    """Ordered entries with their offsets. Immutable."""

    __slots__ = ("entries", "manifest_id", "size_bytes", "starts")

    def __init__(self, manifest_id: ManifestId, entries: Sequence[Entry]) -> None:
        self.manifest_id = manifest_id
        self.entries = tuple(entries)
        ends = list(accumulate(entry.length for entry in self.entries))
        self.size_bytes = ends[-1] if ends else 0
        self.starts = [0, *ends[:-1]] if ends else []
        """Byte offset of each entry."""

    def index_at(self, offset: int) -> int:
        """Return the index of the entry that holds byte `offset` (0 <= offset < size). Pure."""
        assert 0 <= offset < self.size_bytes
        return bisect_right(self.starts, offset) - 1

    def pieces(self, offset: int, length: int) -> Iterator[Piece]:
        """Yield what `[offset, offset + length)` is made of, in order, cut at the end. Pure."""
        end = min(offset + length, self.size_bytes)
        if offset >= end:
            return
        index = self.index_at(offset)
        while offset < end:
            within = offset - self.starts[index]
            take = min(self.entries[index].length - within, end - offset)
            yield Piece(index, within, take)
            offset += take
            index += 1


class ContentSource(NamedTuple):
    """One revision's content, and the names by which the server checks the right to it."""

    drive_id: DriveId
    node_id: NodeId
    revision: RevisionId
    manifest: Manifest


def committed_content(
    drive_id: DriveId,
    node_id: NodeId,
    revision: RevisionId,
    manifest: Manifest,
    *,
    size_bytes: int,
) -> ContentSource:
    """Return the content of a revision that the feed says is `size_bytes` long. Pure.

    Raises:
        Corruption: The manifest is of another length: bytes would be missing, or misplaced.
    """
    if manifest.size_bytes != size_bytes:
        raise Corruption(
            f"a manifest of {manifest.size_bytes} bytes for a file of {size_bytes} bytes"
        )
    return ContentSource(drive_id, node_id, revision, manifest)


class DirtyRange(NamedTuple):
    """Bytes `start` to `end` (exclusive), `start < end`."""

    start: int
    end: int


class DirtyContent(Protocol):
    """One frozen generation, ready to be sent. Immutable while it is sent."""

    @property
    def drive_id(self) -> DriveId: ...

    @property
    def node_id(self) -> NodeId: ...

    @property
    def size_bytes(self) -> int:
        """What the file is long after this generation."""
        ...

    @property
    def base(self) -> ContentSource | None:
        """The committed content below; None for a new file."""
        ...

    @property
    def base_visible_bytes(self) -> int:
        """How many bytes of the base, from 0, still show through."""
        ...

    @property
    def is_base_kept(self) -> bool:
        """Whether the server has what the base is made of. Not so when it came back from a backup
        that is older."""
        ...

    @property
    def dirty(self) -> Sequence[DirtyRange]:
        """Ordered, disjoint, not touching, within `size_bytes`."""
        ...

    def read_dirty(self, start: int, length: int) -> bytes:
        """Return dirty bytes; the range lies inside one dirty range. Blocks on the disk only;
        may be called from a worker thread."""
        ...
