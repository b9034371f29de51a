"""How far to read ahead of a program. Pure.

A reader is *sequential* while each read begins near where the last ended. The kernel splits and
reorders what a program reads, so near means within a window, not exactly behind. The window
doubles each time half of it has been used, so what is fetched for nothing is never more than what
was read, up to twice what the link holds (bandwidth x delay: the next batch is on its way before
the last has been used); one jump drops it.
"""

from typing import Final, NamedTuple

from backend_server.protocol.limits import KIB, MIB

WINDOW_BYTES_MIN: Final = 512 * KIB
WINDOW_BYTES_MAX: Final = 16 * MIB
# Reached whatever the link: requests of some megabytes cost the least for each byte.
_WINDOW_BYTES_EASY: Final = 8 * MIB
# The kernel's own read-ahead sends requests of this reach out of order.
_NEAR_BYTES: Final = 4 * MIB
# The first read of a file counts as sequential from here; in the middle of a file it does not.
_SEQUENTIAL_READS_MIN: Final = 2


class ReadPattern(NamedTuple):
    """What one open file's reads have looked like.

    `behind` is the end of the farthest sequential read, `ahead` how far has been asked for
    already, `run_count` how many reads in a row were sequential.
    """

    behind: int = 0
    ahead: int = 0
    window_bytes: int = 0
    run_count: int = 0

    @property
    def is_sequential(self) -> bool:
        return self.run_count >= _SEQUENTIAL_READS_MIN


class ReadAhead(NamedTuple):
    """Ask for bytes `start` to `end`; nothing when they are equal."""

    start: int
    end: int


def plan_read_ahead(
    pattern: ReadPattern, *, offset: int, length: int, size_bytes: int, link_bytes: int
) -> tuple[ReadPattern, ReadAhead]:
    """Return the pattern after a read of `length` at `offset`, and what to ask for ahead. Pure.

    Args:
        size_bytes: Of the file; never asks beyond.
        link_bytes: Bandwidth x delay of the link to the server, as far as known.
    """
    end = min(offset + length, size_bytes)
    is_near = pattern.behind - _NEAR_BYTES <= offset <= pattern.behind + _NEAR_BYTES
    if not is_near or (pattern.run_count == 0 and offset > 0):
        return ReadPattern(end, end, 0, 1), ReadAhead(end, end)
    run_count = pattern.run_count + 1
    if offset == 0 and pattern.run_count == 0:
        run_count = _SEQUENTIAL_READS_MIN
    if run_count < _SEQUENTIAL_READS_MIN:
        return ReadPattern(end, end, 0, run_count), ReadAhead(end, end)
    behind = max(pattern.behind, end)
    ahead = max(pattern.ahead, behind)
    # Ask in strides of half a window: many small asks would make many small requests.
    if ahead - behind > pattern.window_bytes // 2 or ahead >= size_bytes:
        return ReadPattern(behind, ahead, pattern.window_bytes, run_count), ReadAhead(ahead, ahead)
    window_max = min(max(2 * link_bytes, _WINDOW_BYTES_EASY), WINDOW_BYTES_MAX)
    window = min(max(2 * pattern.window_bytes, WINDOW_BYTES_MIN), window_max)
    target = max(min(behind + window, size_bytes), ahead)
    return ReadPattern(behind, target, window, run_count), ReadAhead(ahead, target)
