"""What is true of every overlay, and which of its bytes are gone. Pure.

    a generation belongs to an overlay, or to nobody (node 0: unlinked while open)
    a row of the log belongs to a generation and speaks of a range
    a staged range that shows lies in its generation's staging file, all of it

What a generation says is replayed as `state.overlay_rows` replays it. Bytes that a later layer
covers, or cut off, may be damaged: nobody will ever ask for them.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

from mountfs.core.extents import STAGED, Extents
from mountfs.core.findings import Finding, FindingKind
from mountfs.core.layers import FromLayer, parts


class LogRow(NamedTuple):
    """A row of `overlay_log`. `end` None: a truncation; `data_length` None: staged bytes."""

    place: int
    start: int
    end: int | None
    data_length: int | None


class Range(NamedTuple):
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class GenerationFacts:
    """What there is of one generation.

    Args:
        size_bytes: Of the file, when the generation began.
        visible_below_bytes: Of the layers below, when the generation began.
        file_bytes: Of its staging file; None: there is none.
        spoilt: Ranges of the file that are not what they were when the state was closed.
    """

    generation_id: int
    node_id: int
    size_bytes: int
    visible_below_bytes: int
    rows: Sequence[LogRow]
    file_bytes: int | None
    spoilt: Sequence[Range] = ()


@dataclass(frozen=True, slots=True)
class OverlayFacts:
    """Everything written here that the server may lack.

    Args:
        overlay_nodes: Nodes that have an overlay.
        stray_rows: Rows of the log of generations that are not there, by generation.
        file_bytes: Every staging file, by generation.
    """

    overlay_nodes: Set[int]
    generations: Sequence[GenerationFacts]
    stray_rows: Mapping[int, Sequence[LogRow]]
    file_bytes: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class LostBytes:
    """Ranges of a generation whose bytes are gone, and why. `node_id`: whose."""

    node_id: int
    generation_id: int
    ranges: tuple[Range, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """A generation as its rows leave it. Implements `core.layers.Layer`."""

    extents: Extents
    size_bytes: int
    visible_below_bytes: int


def replay(generation: GenerationFacts) -> Replayed:
    """Return where the bytes of a generation lie, and its size. Pure.

    Rows that make no sense are passed over.
    """
    extents = Extents()
    size_bytes, visible_below_bytes = generation.size_bytes, generation.visible_below_bytes
    for row in generation.rows:
        if not is_sensible(row):
            continue
        if row.end is None:
            extents.truncate(row.start)
            size_bytes, visible_below_bytes = row.start, min(visible_below_bytes, row.start)
            continue
        if row.data_length is None:
            extents.cover(row.start, row.end)
        else:
            extents.cover(row.start, row.end, row.place, row.start)
        size_bytes = max(size_bytes, row.end)
    return Replayed(extents, size_bytes, visible_below_bytes)


def is_sensible(row: LogRow) -> bool:
    """Return whether a row speaks of a range, or of a size. Pure."""
    if row.start < 0 or (row.end is not None and row.end <= row.start):
        return False
    return row.data_length is None or row.end == row.start + row.data_length


def find_lost(facts: OverlayFacts) -> list[LostBytes]:
    """Return what is gone of what was written here and still shows, by generation. Pure."""
    layers: defaultdict[int, list[GenerationFacts]] = defaultdict(list)
    for generation in facts.generations:
        if generation.node_id:
            layers[generation.node_id].append(generation)
    lost = []
    for generations in layers.values():
        for generation, staged in zip(generations, _shown_staged(generations), strict=True):
            if ranges := unreadable_of(generation, staged):
                reason = _why_lost(generation, ranges)
                lost.append(LostBytes(generation.node_id, generation.generation_id, ranges, reason))
    return lost


def _shown_staged(generations: Sequence[GenerationFacts]) -> list[Extents]:
    """Return the staged ranges of each layer that programs see. Pure."""
    layers = [replay(generation) for generation in generations]
    shown = [Extents() for _ in layers]
    for part in parts(layers, 0, layers[-1].size_bytes):
        if isinstance(part, FromLayer) and part.extent.place == STAGED:
            shown[part.layer_index].cover(part.start, part.end)
    return shown


def find_broken_generations(facts: OverlayFacts) -> dict[int, str]:
    """Return the generations whose rows contradict something, and what. Pure."""
    broken: dict[int, str] = {}
    for generation in facts.generations:
        if generation.node_id and generation.node_id not in facts.overlay_nodes:
            broken[generation.generation_id] = "belong to a file that has none"
        elif not all(map(is_sensible, generation.rows)):
            broken[generation.generation_id] = "have rows that make no sense"
    for generation_id in facts.stray_rows:
        broken[generation_id] = "belong to a layer that no row knows"
    return broken


def find_unclaimed_files(facts: OverlayFacts) -> list[int]:
    """Return the staging files that no row speaks of, by generation. Pure."""
    claimed = {generation.generation_id for generation in facts.generations}
    return sorted(facts.file_bytes.keys() - claimed - facts.stray_rows.keys())


def find_in_overlays(
    facts: OverlayFacts, paths: Mapping[int, str], *, place: str
) -> Iterator[Finding]:
    """Yield everything that is wrong with overlays. Pure.

    Args:
        paths: Path in the drive of every node that has a generation.
        place: Of the state, for what belongs to no file of the drive.
    """
    nodes = {generation.generation_id: generation.node_id for generation in facts.generations}
    for generation_id, what in find_broken_generations(facts).items():
        yield Finding(
            FindingKind.OVERLAY_UNLAWFUL,
            paths.get(nodes.get(generation_id, 0), place),
            f"written bytes (generation {generation_id}) {what}",
            is_repairable=False,
        )
    for lost in find_lost(facts):
        yield Finding(
            FindingKind.STAGED_BYTES_LOST,
            paths.get(lost.node_id, place),
            f"{ranges_text(lost.ranges)} of what was written here are lost: {lost.reason}",
            is_repairable=False,
        )
    for generation_id in find_unclaimed_files(facts):
        yield Finding(
            FindingKind.STAGING_UNCLAIMED,
            f"{place}/staging/{generation_id}",
            f"no row speaks of this staging file of {facts.file_bytes[generation_id]} bytes",
            is_repairable=False,
        )


def unreadable_of(generation: GenerationFacts, staged: Extents) -> tuple[Range, ...]:
    """Return which of some staged ranges of a generation are gone, or not what they were. Pure.

    Ordered, disjoint.
    """
    good_end = generation.file_bytes or 0
    found = Extents()
    for start, end in (*generation.spoilt, Range(good_end, max(staged.end, good_end))):
        for extent in staged.between(start, end):
            found.cover(extent.start, extent.end)
    return tuple(Range(extent.start, extent.end) for extent in found)


def _why_lost(generation: GenerationFacts, ranges: Sequence[Range]) -> str:
    name = f"its staging file {generation.generation_id}"
    if generation.file_bytes is None:
        return f"{name} is gone"
    if ranges[-1].end > generation.file_bytes:
        return f"{name} is cut off"
    return f"{name} is not what was written"


def ranges_text(ranges: Sequence[Range]) -> str:
    """Return ranges for a person. Pure."""
    texts = [f"{each.start} to {each.end}" for each in ranges[:3]]
    more = f" and {len(ranges) - 3} more ranges" if len(ranges) > 3 else ""
    return f"bytes {', '.join(texts)}{more}"
