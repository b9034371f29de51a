"""Slots: bounded, first come first served, and never lost."""

import pytest
import trio
import trio.testing

from backend_server.domain.refusals import Refusal
from backend_server.protocol.errors import ErrorCode
from backend_server.services.slots import Slots


async def test_no_more_than_allowed_hold_at_once(autojump_clock: trio.testing.MockClock) -> None:
    slots = Slots(2, wait_s_max=100.0)
    held: list[int] = []

    async def hold() -> None:
        async with slots.hold():
            held.append(1)
            assert len(held) <= 2
            await trio.sleep(1)
            held.pop()

    async with trio.open_nursery() as nursery:
        for _ in range(9):
            nursery.start_soon(hold)
    assert trio.current_time() == pytest.approx(5.0)


async def test_who_waits_too_long_is_told_to_come_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    slots = Slots(1, wait_s_max=10.0)
    async with slots.hold():
        with pytest.raises(Refusal) as refused:
            async with slots.hold():
                raise AssertionError
    assert refused.value.code is ErrorCode.BUSY
    assert refused.value.retry_after_s > 0
    assert trio.current_time() == pytest.approx(10.0)
    async with slots.hold():
        pass


async def test_a_cancelled_holder_and_a_cancelled_waiter_leave_their_slots() -> None:
    slots = Slots(1, wait_s_max=10.0)

    async def hold_for_ever() -> None:
        async with slots.hold():
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(hold_for_ever)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    async with slots.hold():
        pass
