"""Which bytes of a file a generation holds, and where each of them lies.

An extent says that bytes `start` to `end` lie in a *place*: the staging file (`STAGED`, at the
same offset as in the file) or a small write kept as a row (`place` is the row's number, whose
data begins at file offset `origin`). Later writes cover earlier ones.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple

STAGED: Final = -1


class Extent(NamedTuple):
    """Bytes `start` to `end` (exclusive) of the file lie in `place`."""

    start: int
    end: int
    place: int
    origin: int


class Extents:
    """Ordered, disjoint extents. Neighbours in the staging file are one extent."""

    __slots__ = ("_items", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._items: list[Extent] = []

    def __iter__(self) -> Iterator[Extent]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def end(self) -> int:
        """Behind the last byte held; 0 when nothing is."""
        return self._items[-1].end if self._items else 0

    def cover(self, start: int, end: int, place: int = STAGED, origin: int = 0) -> None:
        """Record that `[start, end)` now lies in `place`. `start < end`."""
        assert start < end
        items, starts = self._items, self._starts
        if not items or start >= items[-1].end:
            # Appending is what nearly every program does.
            if items and place == STAGED and items[-1].place == STAGED and items[-1].end == start:
                items[-1] = items[-1]._replace(end=end)
                return
            items.append(Extent(start, end, place, origin))
            starts.append(start)
            return
        first = bisect_left(starts, start) - 1
        if first < 0 or items[first].end < start:
            first += 1
        last = bisect_right(starts, end, lo=first)
        kept: list[Extent] = []
        if first < last and items[first].start < start:
            kept.append(items[first]._replace(end=start))
        kept.append(Extent(start, end, place, origin))
        if first < last and items[last - 1].end > end:
            kept.append(items[last - 1]._replace(start=end))
        # A neighbour that only touches was taken in for joining; an empty cut is none.
        kept = _joined([extent for extent in kept if extent.start < extent.end])
        items[first:last] = kept
        starts[first:last] = [extent.start for extent in kept]

    def exact(self, start: int, end: int) -> int | None:
        """Return the place of the extent that is exactly `[start, end)`; None if there is none."""
        index = bisect_left(self._starts, start)
        if index < len(self._items) and self._items[index][:2] == (start, end):
            return self._items[index].place
        return None

    def truncate(self, size_bytes: int) -> None:
        """Forget everything at and behind `size_bytes`."""
        index = bisect_left(self._starts, size_bytes)
        del self._items[index:], self._starts[index:]
        if self._items and self._items[-1].end > size_bytes:
            self._items[-1] = self._items[-1]._replace(end=size_bytes)

    def between(self, start: int, end: int) -> Iterator[Extent]:
        """Yield the extents that touch `[start, end)`, cut to it, in order."""
        index = max(bisect_right(self._starts, start) - 1, 0)
        for extent in self._items[index:]:
            if extent.start >= end:
                return
            if extent.end > start:
                yield extent._replace(start=max(extent.start, start), end=min(extent.end, end))


def _joined(extents: list[Extent]) -> list[Extent]:
    joined: list[Extent] = []
    for extent in extents:
        previous = joined[-1] if joined else None
        if (
            previous is not None
            and previous.place == extent.place == STAGED
            and previous.end == extent.start
        ):
            joined[-1] = previous._replace(end=extent.end)
        else:
            joined.append(extent)
    return joined
