"""How a mount ends: refused, waited for, at once, by signals, from outside."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from mountfs.app.control_messages import (
    ConflictsAnswer,
    Done,
    Event,
    Progress,
    Request,
    StatusAnswer,
)
from mountfs.app.mount_life import LAST_SYNC_S, PATIENCE_S, MountLife
from mountfs.app.status import (
    CacheUse,
    Conflict,
    Memory,
    MountStatus,
    Parked,
    Queue,
    Transfers,
)
from mountfs.errors import DeviceRevoked, MountError, Offline, ServerBusy, SetupError, Unavailable
from mountfs.fuse.mount_users import MountUser
from mountfs.fuse.mounting import MountBusy

QUEUED = Queue(3, 1000)
USER = MountUser(4711, "editor", "/mnt/drive/letter")


class Drive:
    """A drive with things to send. `link` is set while the server can be reached."""

    def __init__(self, queue: Queue = QUEUED) -> None:
        self.queue = queue
        self.parked: list[Parked] = []
        self.copies: list[Conflict] = []
        self.refusal: MountError | None = None
        self.trouble: Unavailable | None = None
        self.sync_takes_s = 2.0
        self.is_online = True
        self.syncs_ended = 0

    def status(self) -> MountStatus:
        return MountStatus(
            mount_point="/mnt/drive", pid=os.getpid(), drive="home",
            online=self.is_online, queue=self.queue,
            parked=self.parked, conflicts=[], transfers=Transfers(), cache=CacheUse(),
            memory=Memory(), recent=[],
        )  # fmt: skip

    def conflicts(self, skip: int) -> ConflictsAnswer:
        return ConflictsAnswer(self.copies[skip:], len(self.copies))

    async def resolve(self, path: bytes, keep: str) -> ConflictsAnswer:
        settled = [copy for copy in self.copies if copy.path == path.decode()]
        self.copies = [copy for copy in self.copies if copy not in settled]
        return ConflictsAnswer(settled, len(settled))

    async def sync(self) -> list[Parked]:
        if not self.is_online or self.refusal is not None or self.trouble is not None:
            await trio.sleep_forever()
        await trio.sleep(self.sync_takes_s)
        self.queue = Queue()
        self.syncs_ended += 1
        return self.parked


class Session:
    """Serves until it is stopped, or its mount point is gone."""

    def __init__(self) -> None:
        self.gone = trio.Event()
        self.was_stopped = False

    async def serve(self) -> None:
        await self.gone.wait()

    def stop(self) -> None:
        self.was_stopped = True
        self.gone.set()


class Point:
    path = Path("/mnt/drive")

    def __init__(self, session: Session) -> None:
        self._session = session
        self.held_by: list[MountUser] = []
        self.was_lazy = False

    async def users(self) -> list[MountUser]:
        return self.held_by

    async def unmount(self, *, lazily: bool) -> None:
        await trio.lowlevel.checkpoint()
        if self.held_by and not lazily:
            raise MountBusy("/mnt/drive is in use")
        self.was_lazy = lazily
        if not lazily:
            self._session.gone.set()


class Scene:
    def __init__(self) -> None:
        self.drive = Drive()
        self.session = Session()
        self.point = Point(self.session)
        self.life = MountLife(self.drive, self.session, self.point)
        self.events: list[Event] = []

    async def send(self, event: Event) -> None:
        self.events.append(event)

    async def ask(self, verb: str, *, now: bool = False) -> Event:
        """Return the last event of the answer."""
        await self.life.answer(Request(verb, now=now), self.send)  # type: ignore[arg-type]
        return self.events[-1]

    @property
    def is_serving(self) -> bool:
        return not self.session.gone.is_set()


@pytest.fixture
async def scene() -> Scene:
    return Scene()


@asynccontextmanager
async def _serving(scene: Scene) -> AsyncIterator[None]:
    """The mount serves inside, and must have ended by itself after."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.life.serve)
        await trio.testing.wait_all_tasks_blocked()
        yield
        with trio.fail_after(60):
            await scene.session.gone.wait()


async def test_status_and_sync(autojump_clock: MockClock, scene: Scene) -> None:
    answer = await scene.ask("status")
    assert isinstance(answer, StatusAnswer)
    assert answer.status.queue == QUEUED
    assert await scene.ask("sync") == Done([])
    told = [event for event in scene.events if isinstance(event, Progress)]
    assert told
    assert told[0].queue == QUEUED


async def test_sync_lists_what_the_server_refused(autojump_clock: MockClock, scene: Scene) -> None:
    scene.drive.parked = [Parked("big", "quota exceeded")]
    assert await scene.ask("sync") == Done(scene.drive.parked)


async def test_sync_gives_up_when_the_server_stays_away(
    autojump_clock: MockClock, scene: Scene
) -> None:
    scene.drive.is_online = False
    began = trio.current_time()
    with pytest.raises(Offline, match="3 changes"):
        await scene.ask("sync")
    assert trio.current_time() - began == pytest.approx(PATIENCE_S, abs=1)


async def test_sync_gives_up_on_a_server_without_room(
    autojump_clock: MockClock, scene: Scene
) -> None:
    scene.drive.trouble = ServerBusy("the storage is full.")
    with pytest.raises(ServerBusy, match=r"storage is full.*3 changes"):
        await scene.ask("sync")


async def test_headway_renews_the_patience(autojump_clock: MockClock, scene: Scene) -> None:
    scene.drive.trouble = ServerBusy("the storage is full.")
    began = trio.current_time()
    async with trio.open_nursery() as nursery:

        async def send_one_after_a_while() -> None:
            await trio.sleep(PATIENCE_S - 1)
            scene.drive.queue = Queue(2, 900)

        nursery.start_soon(send_one_after_a_while)
        with pytest.raises(ServerBusy, match="2 changes"):
            await scene.ask("sync")
    assert trio.current_time() - began > 2 * PATIENCE_S - 2


async def test_sync_fails_at_once_when_the_device_is_turned_away(
    autojump_clock: MockClock, scene: Scene
) -> None:
    scene.drive.refusal = DeviceRevoked("revoked")
    with trio.fail_after(1), pytest.raises(DeviceRevoked):
        await scene.ask("sync")


async def test_unmount_sends_everything_first(autojump_clock: MockClock, scene: Scene) -> None:
    async with _serving(scene):
        assert await scene.ask("stop") == Done([])
    assert scene.drive.queue.is_empty
    assert not scene.session.was_stopped


async def test_unmount_now_leaves_the_rest(autojump_clock: MockClock, scene: Scene) -> None:
    async with _serving(scene):
        assert await scene.ask("stop", now=True) == Done([], left=QUEUED)
    assert scene.drive.syncs_ended == 0


@pytest.mark.parametrize("now", [False, True])
async def test_unmount_is_refused_while_programs_use_it(
    autojump_clock: MockClock, scene: Scene, now: bool
) -> None:
    async with _serving(scene):
        scene.point.held_by = [USER]
        with pytest.raises(MountBusy, match=r"editor \(process 4711"):
            await scene.ask("stop", now=now)
        assert scene.is_serving
        scene.point.held_by = []
        assert isinstance(await scene.ask("stop", now=now), Done)


async def test_unmount_is_refused_when_somebody_comes_meanwhile(
    autojump_clock: MockClock, scene: Scene
) -> None:
    async with _serving(scene):
        async with trio.open_nursery() as nursery:

            async def come() -> None:
                await trio.sleep(1)
                scene.point.held_by = [USER]

            nursery.start_soon(come)
            with pytest.raises(MountBusy, match="editor"):
                await scene.ask("stop")
        assert scene.is_serving
        scene.point.held_by = []
        await scene.ask("stop")


async def test_unmount_stays_when_the_server_refused_something(
    autojump_clock: MockClock, scene: Scene
) -> None:
    async with _serving(scene):
        scene.drive.parked = [Parked("big", "quota exceeded")]
        assert await scene.ask("stop") == Done(scene.drive.parked)
        assert scene.is_serving
        await scene.ask("stop", now=True)


async def test_unmount_stays_when_the_server_is_away(
    autojump_clock: MockClock, scene: Scene
) -> None:
    async with _serving(scene):
        scene.drive.is_online = False
        with pytest.raises(Offline):
            await scene.ask("stop")
        assert scene.is_serving
        await scene.ask("stop", now=True)


async def test_two_unmounts_at_once(autojump_clock: MockClock, scene: Scene) -> None:
    async with _serving(scene):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.ask, "stop")
            await trio.sleep(0.1)
            with pytest.raises(SetupError, match="being stopped"):
                await scene.ask("stop")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_sends_what_can_be_sent_and_unmounts(
    autojump_clock: MockClock, scene: Scene, number: signal.Signals
) -> None:
    async with _serving(scene):
        os.kill(os.getpid(), number)
    assert scene.drive.syncs_ended == 1
    assert not scene.session.was_stopped


async def test_a_signal_waits_for_nobody_for_long(autojump_clock: MockClock, scene: Scene) -> None:
    scene.drive.is_online = False
    scene.point.held_by = [USER]
    began = trio.current_time()
    async with _serving(scene):
        os.kill(os.getpid(), signal.SIGTERM)
    assert trio.current_time() - began <= 2 * LAST_SYNC_S + 1
    assert scene.point.was_lazy
    assert scene.session.was_stopped


async def test_a_second_signal_ends_it_at_once(autojump_clock: MockClock, scene: Scene) -> None:
    scene.drive.is_online = False
    began = trio.current_time()
    async with _serving(scene):
        os.kill(os.getpid(), signal.SIGINT)
        await trio.sleep(1)
        os.kill(os.getpid(), signal.SIGINT)
    assert trio.current_time() - began < LAST_SYNC_S


async def test_an_unmount_from_outside_sends_the_rest(
    autojump_clock: MockClock, scene: Scene
) -> None:
    async with _serving(scene):
        await scene.point.unmount(lazily=False)
    assert scene.drive.syncs_ended == 1


async def test_conflicts_are_listed_and_settled(autojump_clock: MockClock) -> None:
    scene = Scene()
    copies = [Conflict("a (conflict of x).txt"), Conflict("b (conflict of x).txt")]
    scene.drive.copies = list(copies)
    assert await scene.ask("conflicts") == ConflictsAnswer(copies, 2)
    await scene.life.answer(Request("conflicts", skip=1), scene.send)
    assert scene.events[-1] == ConflictsAnswer(copies[1:], 2)
    request = Request("resolve", path=copies[0].path.encode(), keep="copy")
    await scene.life.answer(request, scene.send)
    assert scene.events[-1] == ConflictsAnswer(copies[:1], 1)
    assert await scene.ask("conflicts") == ConflictsAnswer(copies[1:], 1)
