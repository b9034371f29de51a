"""The content of a file that was written here: generations over a committed source.

Plain values in memory; `overlays.Overlays` changes them, always together with their rows.
"""

from typing import NamedTuple

from mountfs.core.extents import Extents


class Source(NamedTuple):
    """Committed content below an overlay: that revision, possibly of another node."""

    node_id: int
    revision: int
    manifest_id: bytes
    entries: bytes
    size_bytes: int


class LastRow(NamedTuple):
    """A row of the log: where, which change, and the end of the bytes that it speaks of."""

    place: int
    touched: int
    end: int


class Generation:
    """One layer. Implements `core.layers.Layer`."""

    __slots__ = (
        "extents",
        "first_touched",
        "generation_id",
        "held_bytes",
        "is_frozen",
        "is_promised",
        "is_staged",
        "last_row",
        "rows_count",
        "size_bytes",
        "small_bytes",
        "synced_through",
        "touched",
        "visible_below_bytes",
    )

    def __init__(
        self, generation_id: int, size_bytes: int, visible_below_bytes: int, synced_through: int
    ) -> None:
        self.generation_id = generation_id
        self.size_bytes = size_bytes
        self.visible_below_bytes = visible_below_bytes
        self.synced_through = synced_through
        self.extents = Extents()
        self.is_frozen = False
        self.is_staged = False
        """Whether it has a staging file: then no small write is kept as a row any more."""
        self.is_promised = False
        """Whether fsync(2) returned for it: small writes may then not move to bytes that a power
        loss could take."""
        self.small_bytes = 0
        self.held_bytes = 0
        self.touched = 0
        """The change counter at its last change, and at its first."""
        self.first_touched = 0
        self.rows_count = 0
        """Numbers given to rows of its log so far."""
        self.last_row: LastRow | None = None
        """The staged write that the next one may extend."""


class Overlay:
    """A file's dirty content."""

    __slots__ = (
        "expected_revision",
        "first_change_s",
        "generations",
        "is_detached",
        "last_change_s",
        "merged_from",
        "mtime_ns",
        "node_id",
        "source",
        "touched",
    )

    def __init__(self, node_id: int, expected_revision: int, source: Source | None) -> None:
        self.node_id = node_id
        self.expected_revision = expected_revision
        self.source = source
        self.generations: list[Generation] = []
        self.touched = 0
        """The change counter at the last change of content."""
        self.mtime_ns = 0
        self.first_change_s = 0.0
        """Monotonic, of the oldest change that is not frozen; 0 after a restart."""
        self.last_change_s = 0.0
        self.merged_from = 0
        """The revision whose edit, made here, was merged into the head that a commit replaces."""
        self.is_detached = False
        """Nobody's any more but for open handles: unlinked, or replaced."""

    @property
    def size_bytes(self) -> int:
        if self.generations:
            return self.generations[-1].size_bytes
        return self.source.size_bytes if self.source else 0

    @property
    def held_bytes(self) -> int:
        """Bytes in all generations; bytes written twice may count twice."""
        return sum(generation.held_bytes for generation in self.generations)

    def holds(self, generation_id: int) -> bool:
        return any(each.generation_id == generation_id for each in self.generations)

    @property
    def first_touched(self) -> int:
        """The change counter at the oldest change that the server lacks; 0: older than all."""
        return self.generations[0].first_touched if self.generations else 0
