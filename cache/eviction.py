"""Which values leave the cache, and how large it may be. Pure.

Values leave oldest first until the cache is below the low watermark. What is pinned or in use is
never chosen. A plan is a proposal: whoever executes it checks again, in the deleting transaction.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

HIGH_WATERMARK: Final = 0.95
"""Above this share of the limit, upkeep evicts..."""
LOW_WATERMARK: Final = 0.85
"""...down to this share, so that not every put pays for an eviction."""
assert LOW_WATERMARK < HIGH_WATERMARK <= 1.0

EVICTION_COUNT_MAX: Final = 1024
"""Values that leave in one transaction: about 5 ms of deleting."""
SCAN_COUNT_MAX: Final = 4096
"""Values looked at for one plan: bounds the cost when very many are in use."""

FREE_DISK_RESERVE_BYTES: Final = 64 * 1024 * 1024
"""So much stays free for others: whose cache fills the disk cannot even remove a file there, for
that writes too. Of a small disk it is RESERVE_SHARE."""
RESERVE_SHARE: Final = 1 / 8


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stored value, as eviction sees it. Candidates come oldest first.

    `is_in_use` also for what was used since its place in the order was written down.
    """

    key: bytes
    size_bytes: int
    is_pinned: bool = False
    is_in_use: bool = False


@dataclass(frozen=True, slots=True)
class EvictionPlan:
    """What should leave, oldest first.

    `passed_over` are the values in use that were older than the last victim: they are not old,
    whatever their stamp says, and deserve a new one.
    """

    victims: tuple[Candidate, ...]
    passed_over: tuple[Candidate, ...]
    freed_bytes: int
    is_enough: bool


def plan_eviction(
    candidates: Iterable[Candidate],
    *,
    bytes_to_free: int,
    count_max: int = EVICTION_COUNT_MAX,
    scan_max: int = SCAN_COUNT_MAX,
) -> EvictionPlan:
    """Choose the oldest values that may leave and free `bytes_to_free`. Pure.

    Reads `candidates` (oldest first) no further than needed. `is_enough` is False if the bounds or
    the candidates ended first.
    """
    victims: list[Candidate] = []
    passed_over: list[Candidate] = []
    freed = 0
    for scanned, candidate in enumerate(candidates):
        if freed >= bytes_to_free or len(victims) >= count_max or scanned >= scan_max:
            break
        if candidate.is_pinned:
            continue
        if candidate.is_in_use:
            passed_over.append(candidate)
            continue
        victims.append(candidate)
        freed += candidate.size_bytes
    return EvictionPlan(tuple(victims), tuple(passed_over), freed, freed >= bytes_to_free)


def bytes_above_low_watermark(*, used_bytes: int, limit_bytes: int, incoming_bytes: int = 0) -> int:
    """Return how much must leave, 0 if nothing has to. Pure.

    Without `incoming_bytes`, eviction begins above the high watermark; with them, when they would
    not fit below the limit. Either way it goes down to the low watermark.
    """
    is_due = (
        used_bytes + incoming_bytes > limit_bytes
        if incoming_bytes
        else used_bytes > int(limit_bytes * HIGH_WATERMARK)
    )
    if not is_due:
        return 0
    target = min(int(limit_bytes * LOW_WATERMARK), limit_bytes - incoming_bytes)
    return max(0, min(used_bytes, used_bytes - target))


def limit_after_disk_full(*, used_bytes: int, limit_bytes: int) -> int:
    """Return the limit to keep to after the disk was found full. Pure."""
    return min(limit_bytes, int(used_bytes * LOW_WATERMARK))


def may_grow(
    *, incoming_bytes: int, used_bytes: int, file_bytes: int, free_disk_bytes: int, disk_bytes: int
) -> bool:
    """Whether values of `incoming_bytes` leave others the reserve, or need no more disk. Pure.

    Args:
        file_bytes: What the database takes already; what it has beyond `used_bytes` is used first.
    """
    if file_bytes - used_bytes >= 2 * incoming_bytes:
        return True
    reserve = min(FREE_DISK_RESERVE_BYTES, int(disk_bytes * RESERVE_SHARE))
    return free_disk_bytes >= reserve + incoming_bytes


def limit_with_free_disk(*, used_bytes: int, asked_limit_bytes: int, free_disk_bytes: int) -> int:
    """Return the limit to keep to when the disk has `free_disk_bytes` again. Pure."""
    growth = max(0, free_disk_bytes - FREE_DISK_RESERVE_BYTES)
    return min(asked_limit_bytes, used_bytes + growth)
