"""How far to read ahead of a program. Pure.

A reader is *sequential* while each read begins near where the last ended. The kernel splits and
reorders what a program reads, so near means within a window, not exactly behind. The window
doubles with every read that confirms it, up to what the link holds (bandwidth x delay, twice, so
that the next batch is on its way before the last has been used), and one jump drops it.
"""

from typing import Final, NamedTuple

from backend_server.protocol.limits import KIB, MIB

WINDOW_BYTES_MIN: Final = 512 * KIB
WINDOW_BYTES_MAX: Final = 16 * MIB
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
    window_max = min(max(2 * link_bytes, 4 * WINDOW_BYTES_MIN), WINDOW_BYTES_MAX)
    window = min(max(2 * pattern.window_bytes, WINDOW_BYTES_MIN), window_max)
    ahead = max(pattern.ahead, behind)
    target = min(behind + window, size_bytes)
    # Ask in strides of half a window: many small asks would make many small requests.
    if target - ahead < window // 2 and not (target == size_bytes and target > ahead):
        return ReadPattern(behind, ahead, window, run_count), ReadAhead(ahead, ahead)
    return ReadPattern(behind, target, window, run_count), ReadAhead(ahead, target)
