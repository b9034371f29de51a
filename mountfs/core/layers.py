"""A file as layers: generations over a committed base.

Each layer holds extents and says how much of what lies below still shows through: a truncation
lowers that for good, so that bytes cut off never come back when the file grows again. At a byte,
the highest layer that holds it wins; where none does, the base shows, as far as every layer above
lets it; else it is zero.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from mountfs.core.content import DirtyRange
from mountfs.core.extents import Extent, Extents


class Layer(Protocol):
    @property
    def extents(self) -> Extents: ...

    @property
    def visible_below_bytes(self) -> int:
        """How many bytes from 0 of what lies below show through."""
        ...


class FromLayer(NamedTuple):
    """Bytes `extent.start` to `extent.end` come from layer `layer_index`."""

    layer_index: int
    extent: Extent

    @property
    def start(self) -> int:
        return self.extent.start

    @property
    def end(self) -> int:
        return self.extent.end


class FromBase(NamedTuple):
    start: int
    end: int


class Zeros(NamedTuple):
    start: int
    end: int


Part = FromLayer | FromBase | Zeros


def parts(layers: Sequence[Layer], start: int, end: int) -> Iterator[Part]:
    """Yield what `[start, end)` is made of, in order, without gaps. Pure.

    `layers` are ordered from the lowest. The caller has cut `end` at the file's size.
    """
    yield from _parts(layers, len(layers) - 1, start, end)


def _parts(layers: Sequence[Layer], index: int, start: int, end: int) -> Iterator[Part]:
    if start >= end:
        return
    if index < 0:
        yield FromBase(start, end)
        return
    layer = layers[index]
    at = start
    for extent in layer.extents.between(start, end):
        if extent.start > at:
            yield from _below(layers, index, at, extent.start)
        yield FromLayer(index, extent)
        at = extent.end
    if at < end:
        yield from _below(layers, index, at, end)


def _below(layers: Sequence[Layer], index: int, start: int, end: int) -> Iterator[Part]:
    visible = layers[index].visible_below_bytes
    if start < visible:
        yield from _parts(layers, index - 1, start, min(end, visible))
    if end > visible:
        yield Zeros(max(start, visible), end)


def base_visible_bytes(layers: Sequence[Layer], base_size_bytes: int) -> int:
    """Return how many bytes from 0 of the base show through all layers. Pure."""
    return min([base_size_bytes, *(layer.visible_below_bytes for layer in layers)])


def dirty_ranges(layers: Sequence[Layer], size_bytes: int) -> list[DirtyRange]:
    """Return which bytes of the file come from a layer: ordered, disjoint, not touching. Pure.

    Bytes cut off by one layer and zero since then are not dirty where the base is not visible
    either; where it would be, `base_visible_bytes` already hides it.
    """
    ranges: list[DirtyRange] = []
    for part in parts(layers, 0, size_bytes):
        if not isinstance(part, FromLayer):
            continue
        if ranges and ranges[-1].end == part.start:
            ranges[-1] = DirtyRange(ranges[-1].start, part.end)
        else:
            ranges.append(DirtyRange(part.start, part.end))
    return ranges
