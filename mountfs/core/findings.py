"""What a check of a device's state can find: inert values. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

SHOWN_OF_A_KIND_MAX: Final = 20
"""A file that is all garbage breaks a law in every row: of one kind so many are worth naming."""


class FindingKind(StrEnum):
    """What is wrong, from the ground up."""

    STATE_MISSING = "state_missing"
    """The database is gone, though bytes that were written here are there."""
    STATE_DAMAGED = "state_damaged"
    """The database does not open, or SQLite contradicts it."""
    STATE_OTHER_VERSION = "state_other_version"
    """Written by a mountfs that is newer than this one: not damage."""
    MIRROR_UNLAWFUL = "mirror_unlawful"
    """The mirror cannot be the tree of any server."""
    MIRROR_WRONG = "mirror_wrong"
    """The mirror is not the tree that the server has."""
    OVERLAY_UNLAWFUL = "overlay_unlawful"
    """Rows of written content contradict each other."""
    STAGED_BYTES_LOST = "staged_bytes_lost"
    """Bytes that were written here, and are nowhere else, are gone."""
    STAGING_UNCLAIMED = "staging_unclaimed"
    """A staging file that no row speaks of."""
    CACHE_UNUSABLE = "cache_unusable"
    """The cache as a whole cannot be believed: the next mount begins with an empty one."""
    CACHE_UNLAWFUL = "cache_unlawful"
    """The ledger of the cache and its rows contradict each other."""
    CACHE_VALUE_DAMAGED = "cache_value_damaged"
    """A cached value does not open: a read fetches it anew."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Args:
        place: Which file: of the state folder, or of the drive (as its path there).
        sentence: What is wrong, for a person.
        is_repairable: Whether a repair brings back what was there. What it cannot bring back it
            sets aside, so that the rest can go on.
    """

    kind: FindingKind
    place: str
    sentence: str
    is_repairable: bool = True


def bounded(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield `findings` in order, of each kind at most SHOWN_OF_A_KIND_MAX, the last with a count
    of the rest. Pure.
    """
    shown: dict[FindingKind, int] = {}
    left: dict[FindingKind, Finding] = {}
    left_counts: dict[FindingKind, int] = {}
    for finding in findings:
        kind = finding.kind
        shown[kind] = shown.get(kind, 0) + 1
        if shown[kind] < SHOWN_OF_A_KIND_MAX:
            yield finding
            continue
        left.setdefault(kind, finding)
        left_counts[kind] = left_counts.get(kind, 0) + 1
    for kind, finding in left.items():
        more = left_counts[kind] - 1
        sentence = f"{finding.sentence}; and {more} more of this kind" if more else finding.sentence
        yield replace(finding, sentence=sentence)
