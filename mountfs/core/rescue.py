"""What is set aside of overlays that are damaged, so that the rest can go on. Pure.

A file with a damaged layer keeps its last committed content: a content with a hole that nobody
made is none. All its layers go to recovered copies, as far as their bytes are good.
"""

from dataclasses import dataclass

from mountfs.core.extents import STAGED, Extent
from mountfs.core.overlay_laws import (
    GenerationFacts,
    OverlayFacts,
    extents_of,
    find_broken_generations,
    find_lost,
    find_unclaimed_files,
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
        GenerationFacts(generation_id, 0, rows, facts.file_bytes.get(generation_id))
        for generation_id, rows in facts.stray_rows.items()
    ]
    return RescuePlan(
        tuple(Rescue(each.node_id, each.generation_id, _kept(each)) for each in leaving + strays),
        frozenset(nodes),
        tuple(find_unclaimed_files(facts)),
    )


def _kept(generation: GenerationFacts) -> tuple[Extent, ...]:
    """Return where the good bytes of a generation lie. Pure."""
    file_bytes = generation.file_bytes or 0
    kept = []
    for extent in extents_of(generation.rows):
        if extent.place == STAGED:
            extent = extent._replace(end=min(extent.end, file_bytes))
        if extent.start < extent.end:
            kept.append(extent)
    return tuple(kept)
