"""The long poll: failures slow it down, and news that the server is back ends the pause."""

import random

import pytest
import trio
from trio.testing import MockClock

from backend_server.protocol.identity import DriveId
from backend_server.protocol.tree_messages import PollAnswer, PollRequest
from mountfs.errors import Offline
from mountfs.sync.backoff import BACKOFF_MAX_S, BACKOFF_MIN_S
from mountfs.sync.follower import Follower

DRIVE = DriveId("0" * 16)


class Server:
    """Away until told otherwise; then every poll names the drive after a second."""

    def __init__(self) -> None:
        self.is_away = True
        self.polled_at_s: list[float] = []

    async def poll(self, request: PollRequest) -> PollAnswer:
        self.polled_at_s.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if self.is_away:
            raise Offline("away")
        await trio.sleep(1)
        return PollAnswer([DRIVE])


async def test_polls_at_once_when_the_server_is_back(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    server = Server()
    moved: list[str] = []

    async def note(cursor: str) -> None:
        moved.append(cursor)

    follower = Follower(
        DRIVE,
        server,
        cursor=lambda: "here",
        moved=note,
        hint=lambda: None,
        jitter=random.Random(1),
    )
    nursery.start_soon(follower.run)
    await trio.sleep(200)
    pauses = [b - a for a, b in zip(server.polled_at_s, server.polled_at_s[1:], strict=False)]
    assert max(pauses) <= BACKOFF_MAX_S
    assert pauses[-1] > 20 * pauses[0], "it asks ever more rarely"
    server.is_away = False
    back_at_s = trio.current_time()
    follower.try_now()
    await trio.sleep(1.5)
    assert back_at_s in server.polled_at_s
    assert moved == ["here"]
    nursery.cancel_scope.cancel()


class Hasty:
    """Answers every poll at once: with the drive, or with nothing."""

    def __init__(self, moved: list[str]) -> None:
        self.moved = moved
        self.polls_count = 0

    async def poll(self, request: PollRequest) -> PollAnswer:
        self.polls_count += 1
        await trio.lowlevel.checkpoint()
        return PollAnswer(self.moved)


@pytest.mark.parametrize("moved", [[], [DRIVE], ["another"]])
@pytest.mark.parametrize("is_fruitful", [False, True])
async def test_a_server_that_holds_no_poll_is_asked_ever_more_rarely(
    autojump_clock: MockClock, nursery: trio.Nursery, moved: list[str], is_fruitful: bool
) -> None:
    server = Hasty(moved)

    async def note(cursor: str) -> None:
        await trio.lowlevel.checkpoint()

    follower = Follower(
        DRIVE,
        server,
        cursor=lambda: str(server.polls_count if is_fruitful else 0),
        moved=note,
        hint=lambda: None,
        jitter=random.Random(1),
    )
    nursery.start_soon(follower.run)
    await trio.sleep(600)
    # Ten minutes: a few a second while each brings something, else as when the server is away.
    assert server.polls_count < 60 + (600 / BACKOFF_MIN_S if is_fruitful else 0)
    nursery.cancel_scope.cancel()


async def test_a_poll_that_hung_when_the_server_is_back_is_asked_anew(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    asked_at_s: list[float] = []

    class Silent(Server):
        async def poll(self, request: PollRequest) -> PollAnswer:
            asked_at_s.append(trio.current_time())
            await trio.sleep_forever()
            raise AssertionError

    hints: list[float] = []
    follower = Follower(
        DRIVE,
        Silent(),
        cursor=lambda: "here",
        moved=None,  # type: ignore[arg-type]  # nothing ever moves
        hint=lambda: hints.append(trio.current_time()),
        jitter=random.Random(1),
    )
    began_s = trio.current_time()
    nursery.start_soon(follower.run)
    await trio.sleep(0.5)
    follower.try_now()
    await trio.sleep(0.5)
    assert asked_at_s == [began_s], "a young one is left alone"
    await trio.sleep(30)
    follower.try_now()
    await trio.testing.wait_all_tasks_blocked()
    assert asked_at_s == [began_s, began_s + 31.0]
    assert hints == [began_s + 31.0], "and what it may have missed is asked for"
