"""Epochs of a drive: a new one begins where its database came back from a backup. Pure.

    epoch 1   1 ─────────── kept_through ─ ─ ─ lost with the database ─ ─ ─►
    epoch 2                      └─ nothing ─┤ resumed_at ───────────────►

The numbers between are given to nobody: whatever has one was made in the past that was lost, on
whichever device it is seen. So no device takes a revision of then for another one of now.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from backend_server.protocol.lost_past import LostPast

SEQUENCES_A_MS: Final = 1 << 20
"""More than a drive gets changes: the number made of a moment is beyond all that were given till
then."""
JUMP: Final = 1 << 40
"""Of an epoch that begins when the clock says that it has begun already."""
_CLOCK_MS_MAX: Final = (1 << 42) - 1
"""In 2109; a later clock is not believed. Sequences have 63 bits."""


class EndedEpoch(NamedTuple):
    """An epoch that ended, at a restore: what the database had then, and where its next begins."""

    epoch: str
    kept_through: int
    resumed_at: int


def end_epoch(epoch: str, *, head_sequence: int, now_ms: int, chance: float) -> EndedEpoch:
    """Return the epoch as it ends at `head_sequence`. Pure.

    The next begins at a number made of the time: a server that comes back from one backup twice
    must not give the numbers of the first time again.

    Args:
        chance: From 0 to 1; decides where a clock that is behind does not.
    """
    by_time = min(now_ms, _CLOCK_MS_MAX) * SEQUENCES_A_MS
    is_new = by_time > head_sequence + SEQUENCES_A_MS
    by_chance = head_sequence + JUMP + int(chance * JUMP)
    return EndedEpoch(epoch, head_sequence, by_time if is_new else by_chance)


def find_lost_past(
    ended: Sequence[EndedEpoch], *, reader_epoch: str, reader_sequence: int
) -> LostPast | None:
    """Return what was lost of the past that a reader has seen, None for nothing. Pure.

    Args:
        ended: All epochs of the drive that ended, the oldest first.
        reader_epoch: Not the drive's of now. One that is not in `ended` began behind the backup,
            and is as lost as its beginning; where that was, nobody knows.
    """
    if not ended:
        return None
    names = [each.epoch for each in ended]
    is_known = reader_epoch in names
    since = names.index(reader_epoch) if is_known else 0
    kept_through = min(each.kept_through for each in ended[since:])
    lost = LostPast(kept_through, max(ended[-1].resumed_at, 0 if is_known else reader_sequence))
    return lost if lost.has(reader_sequence) else None


def count_skipped(ended: Iterable[EndedEpoch], *, first: int, last: int) -> int:
    """Return how many of the sequences `first` to `last` were given to nobody. Pure."""
    return sum(
        max(0, min(last, each.resumed_at) - max(first, each.kept_through + 1) + 1) for each in ended
    )
