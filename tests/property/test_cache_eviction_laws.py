"""Laws of eviction: the right ones leave, and enough of them if there are."""

from hypothesis import given
from hypothesis import strategies as st

from cache.eviction import (
    FREE_DISK_RESERVE_BYTES,
    HIGH_WATERMARK,
    LOW_WATERMARK,
    Candidate,
    bytes_above_low_watermark,
    limit_after_disk_full,
    limit_with_free_disk,
    plan_eviction,
)

candidates_oldest_first = st.lists(
    st.tuples(st.integers(1, 1000), st.booleans(), st.booleans()), max_size=60
).map(
    lambda rows: [
        Candidate(index.to_bytes(4), size, is_pinned=pinned, is_in_use=in_use)
        for index, (size, pinned, in_use) in enumerate(rows)
    ]
)
sizes = st.integers(0, 1 << 40)


@given(candidates=candidates_oldest_first, bytes_to_free=st.integers(0, 30_000))
def test_pinned_and_used_values_never_leave(
    candidates: list[Candidate], bytes_to_free: int
) -> None:
    plan = plan_eviction(candidates, bytes_to_free=bytes_to_free)

    assert not any(victim.is_pinned or victim.is_in_use for victim in plan.victims)
    assert all(one.is_in_use and not one.is_pinned for one in plan.passed_over)


@given(candidates=candidates_oldest_first, bytes_to_free=st.integers(0, 30_000))
def test_enough_leaves_if_there_is_enough(candidates: list[Candidate], bytes_to_free: int) -> None:
    plan = plan_eviction(candidates, bytes_to_free=bytes_to_free)
    evictable = [one for one in candidates if not (one.is_pinned or one.is_in_use)]

    assert plan.freed_bytes == sum(victim.size_bytes for victim in plan.victims)
    assert plan.is_enough == (plan.freed_bytes >= bytes_to_free)
    if sum(one.size_bytes for one in evictable) >= bytes_to_free:
        assert plan.is_enough
    else:
        assert list(plan.victims) == evictable


@given(candidates=candidates_oldest_first, bytes_to_free=st.integers(0, 30_000))
def test_the_oldest_leave_and_no_more_than_needed(
    candidates: list[Candidate], bytes_to_free: int
) -> None:
    plan = plan_eviction(candidates, bytes_to_free=bytes_to_free)
    evictable = [one for one in candidates if not (one.is_pinned or one.is_in_use)]

    assert list(plan.victims) == evictable[: len(plan.victims)]
    if plan.victims:
        assert plan.freed_bytes - plan.victims[-1].size_bytes < bytes_to_free


@given(
    candidates=candidates_oldest_first,
    bytes_to_free=st.integers(0, 30_000),
    count_max=st.integers(0, 10),
    scan_max=st.integers(0, 20),
)
def test_a_plan_is_bounded(
    candidates: list[Candidate], bytes_to_free: int, count_max: int, scan_max: int
) -> None:
    unread = iter(candidates)
    plan = plan_eviction(
        unread, bytes_to_free=bytes_to_free, count_max=count_max, scan_max=scan_max
    )

    assert len(plan.victims) <= count_max
    assert all(victim in candidates[:scan_max] for victim in plan.victims)
    # One candidate is looked at to see that the plan is complete.
    assert len(candidates) - len(list(unread)) <= scan_max + 1


@given(used=sizes, limit=sizes, incoming=st.integers(0, 1 << 24))
def test_eviction_goes_down_to_the_low_watermark(used: int, limit: int, incoming: int) -> None:
    to_free = bytes_above_low_watermark(used_bytes=used, limit_bytes=limit, incoming_bytes=incoming)

    assert 0 <= to_free <= used
    if incoming == 0 and used <= int(limit * HIGH_WATERMARK):
        assert to_free == 0
    if to_free:
        assert used - to_free <= limit * LOW_WATERMARK or used == to_free
    if incoming and incoming <= limit and used <= limit:
        assert used - to_free + incoming <= limit


@given(used=sizes, limit=sizes, free=sizes)
def test_a_full_disk_lowers_the_limit_and_room_raises_it_again(
    used: int, limit: int, free: int
) -> None:
    lowered = limit_after_disk_full(used_bytes=used, limit_bytes=limit)
    assert lowered <= limit
    assert lowered <= used

    raised = limit_with_free_disk(used_bytes=used, asked_limit_bytes=limit, free_disk_bytes=free)
    assert raised <= limit
    if free >= limit + FREE_DISK_RESERVE_BYTES:
        assert raised == limit
    # The reserve stays free even if the cache then fills up to its limit.
    assert raised <= used or free - (raised - used) >= FREE_DISK_RESERVE_BYTES
