"""Epochs of a drive: a new one begins where its database came back from a backup. Pure.

    epoch 1   1 ─────────── kept_through ─ ─ ─ lost with the database ─ ─ ─►
    epoch 2                      └─ nothing ─┤ resumed_at ───────────────►

The numbers between are given to nobody: whatever has one was made in the past that was lost, on
whichever device it is seen. So no device takes a revision of then for another one of now.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from backend_server.protocol.lost_past import LostPast

SKIPPED_MIN: Final = 1 << 40
"""More than a drive's changes since any backup: 34 years at a thousand a second."""
SEQUENCES_A_MS: Final = 1 << 20
_CLOCK_MS_MAX: Final = (1 << 42) - 1
"""In 2109; a later clock is not believed. Sequences have 63 bits."""


class EndedEpoch(NamedTuple):
    """An epoch that ended, at a restore: what the database had then, and where its next begins."""

    epoch: str
    kept_through: int
    resumed_at: int


def end_epoch(epoch: str, *, head_sequence: int, now_ms: int) -> EndedEpoch:
    """Return the epoch as it ends at `head_sequence`. Pure.

    The next begins at a number made of the time: a server that comes back from one backup twice
    must not give the numbers of the first time again.
    """
    by_time = min(now_ms, _CLOCK_MS_MAX) * SEQUENCES_A_MS
    return EndedEpoch(epoch, head_sequence, max(head_sequence + SKIPPED_MIN, by_time))


def find_lost_past(ended: Sequence[EndedEpoch], reader_epoch: str) -> LostPast | None:
    """Return what was lost of the past that a reader of `reader_epoch` has seen. Pure.

    Args:
        ended: All epochs of the drive that ended, the oldest first; None did: nothing was lost.
        reader_epoch: Not the drive's of now. One that is not in `ended` began behind the backup,
            and is as lost as its beginning; where that was, nobody knows.
    """
    if not ended:
        return None
    names = [each.epoch for each in ended]
    since = names.index(reader_epoch) if reader_epoch in names else 0
    kept_through = min(each.kept_through for each in ended[since:])
    return LostPast(kept_through, ended[-1].resumed_at)


def count_skipped(ended: Iterable[EndedEpoch], *, first: int, last: int) -> int:
    """Return how many of the sequences `first` to `last` were given to nobody. Pure."""
    return sum(
        max(0, min(last, each.resumed_at) - max(first, each.kept_through + 1) + 1) for each in ended
    )
