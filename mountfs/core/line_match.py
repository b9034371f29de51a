"""Which lines of one text are lines of another, in order: what a merge stands on.

Lines that occur once in both texts are anchors; between them it is asked again, for a line may be
the only one of its kind there ("patience diff", Bram Cohen). Where no anchor is left, the fewest
insertions and removals are looked for (E. Myers, "An O(ND) Difference Algorithm", 1986). The work
is bounded: what the bound leaves out is not matched, which makes a merge refuse, and never wrong.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Final

DIFFERENCES_MAX: Final = 200
"""Insertions and removals in one stretch without anchors."""
WORK_MAX: Final = 1_000_000
"""Lines looked at, all stretches together."""


def match_lines(old: Sequence[bytes], new: Sequence[bytes]) -> list[int | None]:
    """Return for each line of `old` the index of the same line in `new`, or None. Pure.

    The indices ascend. Equal texts match line by line.
    """
    numbers: dict[bytes, int] = {}
    a = [numbers.setdefault(line, len(numbers)) for line in old]
    b = [numbers.setdefault(line, len(numbers)) for line in new]
    found: list[int | None] = [None] * len(a)
    work_left = WORK_MAX
    stretches = [(0, len(a), 0, len(b))]
    while stretches:
        start, end, other, other_end = stretches.pop()
        while start < end and other < other_end and a[start] == b[other]:
            found[start] = other
            start, other = start + 1, other + 1
        while start < end and other < other_end and a[end - 1] == b[other_end - 1]:
            end, other_end = end - 1, other_end - 1
            found[end] = other_end
        work_left -= end - start + other_end - other
        if start == end or other == other_end or work_left < 0:
            continue
        anchors = _anchors(a[start:end], b[other:other_end])
        if not anchors:
            pairs, work = _fewest_differences(a[start:end], b[other:other_end])
            work_left -= work
            for at, other_at in pairs:
                found[start + at] = other + other_at
            continue
        at, other_at = start, other
        for anchor, other_anchor in anchors:
            stretches.append((at, start + anchor, other_at, other + other_anchor))
            found[start + anchor] = other + other_anchor
            at, other_at = start + anchor + 1, other + other_anchor + 1
        stretches.append((at, end, other_at, other_end))
    return found


def _anchors(a: Sequence[int], b: Sequence[int]) -> list[tuple[int, int]]:
    """Return the longest ascending run of pairs of lines that are unique on both sides."""
    counts, other_counts = Counter(a), Counter(b)
    places = {line: index for index, line in enumerate(b) if other_counts[line] == 1}
    pairs = [
        (index, places[line])
        for index, line in enumerate(a)
        if counts[line] == 1 and line in places
    ]
    # The longest ascending subsequence: of each length, the run whose end is lowest.
    ends: list[int] = []
    run_ends: list[int] = []
    before: list[int | None] = []
    for number, (_, place) in enumerate(pairs):
        length = bisect_left(ends, place)
        before.append(run_ends[length - 1] if length else None)
        ends[length : length + 1] = [place]
        run_ends[length : length + 1] = [number]
    longest: list[tuple[int, int]] = []
    last = run_ends[-1] if run_ends else None
    while last is not None:
        longest.append(pairs[last])
        last = before[last]
    return longest[::-1]


def _fewest_differences(a: Sequence[int], b: Sequence[int]) -> tuple[list[tuple[int, int]], int]:
    """Return the pairs that stay when `a` becomes `b` in the fewest steps, and the work done.

    No pairs when more than DIFFERENCES_MAX steps are needed.
    """
    reached = {1: 0}
    history: list[dict[int, int]] = []
    work = 0
    for steps in range(min(DIFFERENCES_MAX, len(a) + len(b)) + 1):
        history.append(dict(reached))
        work += 2 * len(reached)
        for diagonal in range(-steps, steps + 1, 2):
            at = _entry(reached, diagonal, steps)[1]
            other = at - diagonal
            while at < len(a) and other < len(b) and a[at] == b[other]:
                at, other = at + 1, other + 1
                work += 1
            reached[diagonal] = at
            if at >= len(a) and other >= len(b):
                return _walk_back(history, len(a), len(b)), work
    return [], work


def _entry(reached: dict[int, int], diagonal: int, steps: int) -> tuple[int, int]:
    """Return from which diagonal the furthest path enters this one, and where in `a`."""
    is_insertion = diagonal == -steps or (
        diagonal != steps and reached[diagonal - 1] < reached[diagonal + 1]
    )
    if is_insertion:
        return diagonal + 1, reached[diagonal + 1]
    return diagonal - 1, reached[diagonal - 1] + 1


def _walk_back(history: Sequence[dict[int, int]], at: int, other: int) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    for steps in range(len(history) - 1, -1, -1):
        reached = history[steps]
        came_from, entered_at = _entry(reached, at - other, steps)
        while at > entered_at and other > entered_at - (at - other):
            at, other = at - 1, other - 1
            pairs.append((at, other))
        if steps:
            at = reached[came_from]
            other = at - came_from
    return pairs[::-1]
