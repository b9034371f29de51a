"""The shim waits for the kernel as trio does, but is not fooled by a request that is gone."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from mountfs.fuse.deadlines import LOOK_EVERY_S, RequestDeadlines
from mountfs.fuse.reading_turn import ReadingTurn
from mountfs.fuse.trio_shim import FAIR_EVERY, LowLevelShim, TrioShim


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        os.close(descriptor)


class _Thief(trio.abc.Instrument):
    """Takes what came between the wake-up and the task that was woken by it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.stolen = 0

    def after_io_wait(self, timeout: float) -> None:
        with contextlib.suppress(BlockingIOError):
            self.stolen += len(os.read(self._descriptor, 1))


async def test_a_request_that_is_gone_again_does_not_wake(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    shim = LowLevelShim(RequestDeadlines(), ReadingTurn())
    awoken = trio.Event()

    async def wait() -> None:
        await shim.wait_readable(reading)
        awoken.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        thief = _Thief(reading)
        trio.lowlevel.add_instrument(thief)
        os.write(writing, b"x")
        while not thief.stolen:
            await trio.lowlevel.checkpoint()
        trio.lowlevel.remove_instrument(thief)
        await trio.testing.wait_all_tasks_blocked()
        assert not awoken.is_set()
        os.write(writing, b"y")
        with trio.fail_after(5):
            await awoken.wait()


async def test_the_read_after_it_cannot_block(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.write(writing, b"x")
    await LowLevelShim(RequestDeadlines(), ReadingTurn()).wait_readable(reading)
    assert not os.get_blocking(reading)


async def test_other_tasks_run_while_requests_queue_up(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.write(writing, b"x")
    shim = LowLevelShim(RequestDeadlines(), ReadingTurn())
    rounds = 0

    async def others() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        for _ in range(10 * FAIR_EVERY):
            await shim.wait_readable(reading)
        nursery.cancel_scope.cancel()
    assert rounds >= 9


async def test_closing_ends_the_wait(pipe: tuple[int, int]) -> None:
    reading, _ = pipe
    shim = LowLevelShim(RequestDeadlines(), ReadingTurn())
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await shim.wait_readable(reading)

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        shim.notify_closing(reading)


async def test_a_worker_that_found_nothing_to_read_starts_anew() -> None:
    tries: list[int] = []

    async def worker(argument: int) -> None:
        tries.append(argument)
        await trio.lowlevel.checkpoint()
        if len(tries) < 3:
            raise OSError(errno.EAGAIN, "fuse_session_receive_buf failed")

    async with TrioShim(RequestDeadlines(), ReadingTurn()).open_nursery() as nursery:
        nursery.start_soon(worker, 7, name="pyfuse-01")
    assert tries == [7, 7, 7]


async def test_a_worker_that_ends_leaves_its_turn_to_another() -> None:
    """pyfuse3 ends workers when many are idle, right behind an answer."""
    turn = ReadingTurn()
    reading: list[int] = []

    async def worker(number: int) -> None:
        async with turn:
            reading.append(number)
            if len(reading) == 1:
                await trio.testing.wait_all_tasks_blocked()

    with trio.fail_after(5):
        async with TrioShim(RequestDeadlines(), turn).open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(worker, number)
    assert sorted(reading) == list(range(5))


async def test_another_failure_of_a_worker_is_not_hidden() -> None:
    async def worker() -> None:
        raise OSError(errno.EIO, "the device is gone")

    with pytest.raises(ExceptionGroup) as raised:
        async with TrioShim(RequestDeadlines(), ReadingTurn()).open_nursery() as nursery:
            nursery.start_soon(worker)
    assert raised.group_contains(OSError, match="the device is gone")


async def test_a_worker_that_was_given_up_takes_no_other_request(
    pipe: tuple[int, int], autojump_clock: trio.testing.MockClock
) -> None:
    """Its request ended after all, late; the next one must not be cancelled in its stead."""
    reading, writing = pipe
    os.write(writing, b"request after request")
    deadlines = RequestDeadlines()
    shim = TrioShim(deadlines, ReadingTurn())
    served: list[str] = []

    async def worker(_argument: int) -> None:
        await shim.lowlevel.wait_readable(reading)
        task = trio.lowlevel.current_task()
        served.append("begun")
        if len(served) > 2:
            return
        deadlines.due_at_s[task] = trio.current_time()
        with trio.CancelScope(shield=True):
            await trio.sleep(2 * LOOK_EVERY_S)
        del deadlines.due_at_s[task]
        served.append("ended")
        await shim.lowlevel.wait_readable(reading)
        served.append("cancelled, but took another request")

    async with trio.open_nursery() as watching:
        watching.start_soon(deadlines.watch)
        async with shim.open_nursery() as nursery:
            nursery.start_soon(worker, 1)
        watching.cancel_scope.cancel()
    assert served == ["begun", "ended", "begun"]
    assert not deadlines.workers


def test_the_shim_has_what_pyfuse3_uses_of_trio() -> None:
    pyfuse3 = pytest.importorskip("pyfuse3")
    sources = list(Path(pyfuse3.__file__).parent.glob("*.p[yx][xi]"))
    assert sources, "pyfuse3 ships the sources that it was made from"
    used: set[str] = set()
    for source in sources:
        # Only code: its prose mentions names that it does not use.
        text = re.sub(r"('''.*?'''|\"\"\".*?\"\"\"|#[^\n]*)", "", source.read_text(), flags=re.S)
        used |= set(re.findall(r"\btrio\.((?:lowlevel\.)?\w+)", text))
    assert "lowlevel.wait_readable" in used
    for name in used:
        found: object = TrioShim(RequestDeadlines(), ReadingTurn())
        for part in name.split("."):
            found = getattr(found, part)
