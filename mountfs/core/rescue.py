"""What is set aside of overlays that are damaged, so that the rest can go on. Pure.

A file with a damaged layer keeps its last committed content: a content with a hole that nobody
made is none. All its layers go to recovered copies, as far as their bytes are good.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mountfs.core.extents import STAGED, Extent, Extents
from mountfs.core.overlay_laws import (
    GenerationFacts,
    OverlayFacts,
    Range,
    find_broken_generations,
    find_lost,
    find_unclaimed_files,
    replay,
    unreadable_of,
)


@dataclass(frozen=True, slots=True)
class Rescue:
    """One generation that leaves, and where its good bytes lie. `node_id` 0: nobody knows whose."""

    node_id: int
    generation_id: int
    kept: tuple[Extent, ...]


@dataclass(frozen=True, slots=True)
class RescuePlan:
    """What a repair of overlays does.

    Args:
        rescues: Copied, then forgotten.
        nodes: Files that go back to what the server has.
        unclaimed: Staging files that become recovered copies, by generation.
    """

    rescues: tuple[Rescue, ...]
    nodes: frozenset[int]
    unclaimed: tuple[int, ...]

    def __bool__(self) -> bool:
        return bool(self.rescues or self.unclaimed)


def plan_rescue(facts: OverlayFacts) -> RescuePlan:
    """Plan how to set aside what is damaged. Pure."""
    broken = find_broken_generations(facts)
    by_id = {generation.generation_id: generation for generation in facts.generations}
    nodes = {lost.node_id for lost in find_lost(facts)}
    nodes |= {by_id[each].node_id for each in broken if each in by_id}
    leaving = [generation for generation in facts.generations if generation.node_id in nodes]
    strays = [
        GenerationFacts(generation_id, 0, 0, 0, rows, facts.file_bytes.get(generation_id))
        for generation_id, rows in facts.stray_rows.items()
    ]
    return RescuePlan(
        tuple(Rescue(each.node_id, each.generation_id, _kept(each)) for each in leaving + strays),
        frozenset(nodes),
        tuple(find_unclaimed_files(facts)),
    )


def _kept(generation: GenerationFacts) -> tuple[Extent, ...]:
    """Return where the good bytes of a generation lie. Pure."""
    extents = list(replay(generation).extents)
    staged = Extents()
    for extent in extents:
        if extent.place == STAGED:
            staged.cover(extent.start, extent.end)
    lost = unreadable_of(generation, staged)
    kept: list[Extent] = []
    for extent in extents:
        kept += _without(extent, lost) if extent.place == STAGED else [extent]
    return tuple(kept)


def _without(extent: Extent, lost: Sequence[Range]) -> Iterator[Extent]:
    """Yield the parts of `extent` outside of `lost`, which is ordered and disjoint. Pure."""
    at = extent.start
    for start, end in lost:
        if end <= at or start >= extent.end:
            continue
        if start > at:
            yield extent._replace(start=at, end=start)
        at = end
    if at < extent.end:
        yield extent._replace(start=at)
