"""A machine that slept is noticed, and one that is merely busy is not."""

import pytest
import trio
import trio.testing

from mountfs.app.wake_watch import LOOK_EVERY_S, SLEPT_S, watch_for_wakes


class Machine:
    """Its monotonic clock stands still while it sleeps; the other goes on."""

    def __init__(self) -> None:
        self.slept_s = 0.0
        self.wakes: list[tuple[float, float]] = []

    def elapsed_s(self) -> float:
        return trio.current_time() + self.slept_s

    async def woke(self, slept_s: float) -> None:
        self.wakes.append((trio.current_time(), slept_s))


@pytest.mark.parametrize(("slept_s", "is_noticed"), [(SLEPT_S - 0.1, False), (28_800.0, True)])
async def test_a_sleep_is_noticed_soon(
    slept_s: float, is_noticed: bool, autojump_clock: trio.testing.MockClock
) -> None:
    machine = Machine()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_for_wakes, machine.elapsed_s, machine.woke)
        await trio.sleep(100.5)
        woke_at_s = trio.current_time()
        machine.slept_s += slept_s
        await trio.sleep(100)
        nursery.cancel_scope.cancel()
    assert len(machine.wakes) == is_noticed
    for at_s, found_s in machine.wakes:
        assert at_s <= woke_at_s + LOOK_EVERY_S
        assert found_s == pytest.approx(slept_s)
