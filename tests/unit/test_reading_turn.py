"""One worker reads the kernel's next request; another is woken only when that one has to wait."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from mountfs.fuse.reading_turn import ReadingTurn, handing_on


class _Kernel:
    """Requests, and workers that take them as pyfuse3's do."""

    def __init__(self, count: int) -> None:
        self.turn = ReadingTurn()
        self.waiting = list(range(count))
        self.readers = 0
        self.answered: list[int] = []

    async def work(self, answer: Callable[[int], Awaitable[None]]) -> None:
        while True:
            async with self.turn:
                self.readers += 1
                assert self.readers == 1
                if not self.waiting:
                    await trio.sleep_forever()
                request = self.waiting.pop(0)
                self.readers -= 1

            async def answering(request: int = request) -> None:
                await answer(request)

            await handing_on(self.turn, answering())
            self.answered.append(request)


async def test_requests_that_wait_are_answered_beside_each_other() -> None:
    kernel = _Kernel(5)
    may_answer = trio.Event()

    async def answer(request: int) -> None:
        if request < 4:
            await may_answer.wait()

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(kernel.work, answer)
        await trio.testing.wait_all_tasks_blocked()
        assert kernel.answered == [4]
        may_answer.set()
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(kernel.answered) == [0, 1, 2, 3, 4]
        nursery.cancel_scope.cancel()


async def test_requests_that_need_no_waiting_wake_nobody() -> None:
    kernel = _Kernel(200)
    runs: list[str] = []

    class Runs(trio.abc.Instrument):
        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            runs.append(task.name)

    async def answer(request: int) -> None:
        del request

    async with trio.open_nursery() as nursery:
        await kernel.turn.__aenter__()
        for number in range(4):
            nursery.start_soon(kernel.work, answer, name=f"worker {number}")
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.add_instrument(instrument := Runs())
        await kernel.turn.__aexit__()
        kernel.turn.hand_on()
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.remove_instrument(instrument)
        assert len(kernel.answered) == 200
        assert len({name for name in runs if name.startswith("worker")}) == 1
        nursery.cancel_scope.cancel()


async def test_who_waits_for_the_turn_can_be_cancelled() -> None:
    turn = ReadingTurn()
    async with trio.open_nursery() as nursery, turn:

        async def wait() -> None:
            async with turn:
                raise AssertionError("it is taken")

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    with trio.fail_after(5):
        async with turn:
            pass


async def test_what_answering_returns_and_raises_comes_through() -> None:
    turn = ReadingTurn()

    async def answer(*, waits: bool, fails: bool) -> int:
        if waits:
            await trio.lowlevel.checkpoint()
        if fails:
            raise KeyError
        return 7

    for waits in (False, True):
        assert await handing_on(turn, answer(waits=waits, fails=False)) == 7
        with pytest.raises(KeyError):
            await handing_on(turn, answer(waits=waits, fails=True))


async def test_an_answer_that_waits_can_be_cancelled_and_clean_up() -> None:
    turn = ReadingTurn()
    seen: list[str] = []

    async def answer() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            seen.append("cancelled")
            raise
        finally:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
            seen.append("cleaned up")

    with trio.CancelScope() as scope:
        scope.cancel()
        await handing_on(turn, answer())
    assert seen == ["cancelled", "cleaned up"]
