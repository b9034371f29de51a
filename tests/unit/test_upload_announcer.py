"""When an upload announces, and who waits for the answer."""

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from backend_server.protocol.identity import ChunkId
from backend_server.protocol.manifests import Entry
from backend_server.protocol.transfer_messages import UploadRequest
from fakes.drive_server import DRIVE, FakeServer
from mountfs.blocks.announcer import PAUSE_S, QUICK_S, Announcer


def entries(first: int, count: int) -> list[Entry]:
    return [Entry(ChunkId(bytes([n]) * 32), 100) for n in range(first, first + count)]


def ids(some: list[Entry]) -> list[ChunkId]:
    return [entry.chunk_id for entry in some]


class Stage:
    """An announcer whose answers are let through one by one."""

    def __init__(self, *, present: list[Entry] | None = None, waits: bool = False) -> None:
        self.server = FakeServer()
        for entry in present or []:
            self.server.chunks[entry.chunk_id] = b"x"
        self.gate = trio.Event()
        self.server.before_call = lambda call: self.gate
        request = UploadRequest(b"u" * 16, 70_000, 0, 0, [])
        self.announcer = Announcer(self.server, DRIVE, request, waits=waits)
        self.passed: list[str] = []

    def answer(self) -> None:
        self.gate.set()
        self.gate = trio.Event()

    async def send(self, name: str, some: list[Entry]) -> None:
        await self.announcer.before_sending(ids(some))
        self.passed.append(name)

    async def encode(self, name: str, some: list[Entry]) -> None:
        await self.announcer.before_encoding(ids(some))
        self.passed.append(name)


async def test_beside_the_first_announcement_only_what_it_names_may_go(
    mock_clock: MockClock,
) -> None:
    stage = Stage()
    first, second = entries(1, 3), entries(10, 3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.announcer.run)
        stage.announcer.offer(first)
        await wait_all_tasks_blocked()
        stage.announcer.offer(second)
        nursery.start_soon(stage.send, "first", first)
        nursery.start_soon(stage.send, "second", second)
        await wait_all_tasks_blocked()
        assert stage.passed == ["first"]
        stage.answer()
        await wait_all_tasks_blocked()
        assert stage.passed == ["first", "second"]
        stage.announcer.close()


async def test_over_a_slow_link_everything_is_asked_about(mock_clock: MockClock) -> None:
    """Answers queue behind bodies there: what left meanwhile would be sent for nothing."""
    stage = Stage(present=entries(10, 3))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.announcer.run)
        stage.announcer.offer(entries(1, 2))
        await wait_all_tasks_blocked()
        mock_clock.jump(2 * QUICK_S)
        stage.answer()
        await wait_all_tasks_blocked()
        stage.announcer.offer(entries(10, 3))
        nursery.start_soon(stage.send, "spared", entries(10, 3))
        await wait_all_tasks_blocked()
        assert stage.passed == []
        stage.answer()
        await wait_all_tasks_blocked()
        assert stage.passed == ["spared"]
        assert all(map(stage.announcer.is_present, ids(entries(10, 3))))
        stage.announcer.close()


async def test_what_is_asked_about_waits_for_its_answer(mock_clock: MockClock) -> None:
    stage = Stage(present=entries(10, 3))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.announcer.run)
        stage.announcer.offer(entries(1, 2))
        await wait_all_tasks_blocked()
        stage.answer()
        await wait_all_tasks_blocked()
        stage.announcer.offer(entries(10, 3))
        await wait_all_tasks_blocked()
        mock_clock.jump(PAUSE_S)
        await wait_all_tasks_blocked()
        nursery.start_soon(stage.send, "asked", entries(10, 3))
        await wait_all_tasks_blocked()
        assert stage.passed == []
        stage.answer()
        await wait_all_tasks_blocked()
        assert stage.passed == ["asked"]
        assert all(map(stage.announcer.is_present, ids(entries(10, 3))))
        stage.announcer.close()


async def test_what_has_not_left_is_asked_for_once_a_pause(mock_clock: MockClock) -> None:
    stage = Stage()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.announcer.run)
        stage.announcer.offer(entries(1, 2))
        await wait_all_tasks_blocked()
        stage.answer()
        for n in range(10, 20):
            stage.announcer.offer(entries(n, 1))
            await wait_all_tasks_blocked()
        nursery.start_soon(stage.send, "early", entries(10, 3))
        await wait_all_tasks_blocked()
        assert stage.passed == ["early"]
        assert stage.server.counts.announcements == 1
        mock_clock.jump(PAUSE_S)
        await wait_all_tasks_blocked()
        stage.answer()
        await wait_all_tasks_blocked()
        assert stage.server.counts.announcements == 2
        assert stage.server.announced[b"u" * 16] == set(ids([*entries(1, 2), *entries(13, 7)]))
        stage.announcer.close()


async def test_a_body_that_waits_for_an_answer_is_spared_what_that_says(
    mock_clock: MockClock,
) -> None:
    stage = Stage(present=entries(1, 8))
    named, later = entries(1, 8), entries(20, 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.announcer.run)
        stage.announcer.offer(named)
        await wait_all_tasks_blocked()
        stage.announcer.offer(later)
        nursery.start_soon(stage.send, "mixed", [*named, *later])
        await wait_all_tasks_blocked()
        stage.answer()
        await wait_all_tasks_blocked()
        assert all(map(stage.announcer.is_present, ids(named)))
        stage.answer()
        await wait_all_tasks_blocked()
        assert stage.passed == ["mixed"]
        stage.announcer.close()


async def test_what_left_while_it_was_asked_for_is_not_taken_for_spared(
    mock_clock: MockClock,
) -> None:
    """Our own block may be there before the question: that is no sign that others sent it."""
    stage = Stage()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.announcer.run)
        stage.announcer.offer(entries(1, 4))
        await wait_all_tasks_blocked()
        await stage.send("beside it", entries(1, 4))
        for chunk_id in ids(entries(1, 4)):
            stage.server.chunks[chunk_id] = b"ours"
        stage.answer()
        await wait_all_tasks_blocked()
        stage.announcer.offer(entries(10, 4))
        await stage.encode("more", entries(10, 4))
        assert not any(map(stage.announcer.is_present, ids(entries(1, 4))))
        stage.announcer.close()


async def test_chunks_that_others_sent_are_noticed_in_the_middle_of_an_upload(
    mock_clock: MockClock,
) -> None:
    stage = Stage(present=entries(20, 8))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.announcer.run)
        stage.announcer.offer(entries(1, 4))
        await wait_all_tasks_blocked()
        stage.answer()
        await wait_all_tasks_blocked()
        stage.announcer.offer(entries(20, 4))
        await wait_all_tasks_blocked()
        mock_clock.jump(PAUSE_S)
        await wait_all_tasks_blocked()
        stage.answer()
        await wait_all_tasks_blocked()
        stage.announcer.offer(entries(24, 4))
        nursery.start_soon(stage.send, "spared", entries(24, 4))
        await wait_all_tasks_blocked()
        assert stage.passed == []
        stage.answer()
        await wait_all_tasks_blocked()
        assert stage.passed == ["spared"]
        assert all(map(stage.announcer.is_present, ids(entries(20, 8))))
        stage.announcer.close()


async def test_where_nothing_is_spared_nobody_waits_to_encode(mock_clock: MockClock) -> None:
    stage = Stage()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.announcer.run)
        stage.announcer.offer(entries(1, 4))
        await wait_all_tasks_blocked()
        stage.answer()
        stage.announcer.offer(entries(10, 4))
        await wait_all_tasks_blocked()
        nursery.start_soon(stage.encode, "more", entries(10, 4))
        await wait_all_tasks_blocked()
        assert stage.passed == ["more"]
        stage.announcer.close()


async def test_where_answers_spare_chunks_they_are_waited_for(mock_clock: MockClock) -> None:
    stage = Stage(present=entries(1, 20))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.announcer.run)
        stage.announcer.offer(entries(1, 4))
        await wait_all_tasks_blocked()
        stage.answer()
        await wait_all_tasks_blocked()
        stage.announcer.offer(entries(10, 4))
        nursery.start_soon(stage.encode, "more", entries(10, 4))
        await wait_all_tasks_blocked()
        assert stage.passed == []
        stage.answer()
        await wait_all_tasks_blocked()
        assert stage.passed == ["more"]
        assert all(map(stage.announcer.is_present, ids(entries(10, 4))))
        stage.announcer.close()


async def test_an_upload_tried_again_waits_from_the_start(mock_clock: MockClock) -> None:
    stage = Stage(waits=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.announcer.run)
        stage.announcer.offer(entries(1, 4))
        nursery.start_soon(stage.encode, "first", entries(1, 4))
        await wait_all_tasks_blocked()
        assert stage.passed == []
        stage.answer()
        await wait_all_tasks_blocked()
        assert stage.passed == ["first"]
        stage.announcer.close()


async def test_an_upload_with_nothing_to_send_announces_nothing(mock_clock: MockClock) -> None:
    stage = Stage()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.announcer.run)
        await wait_all_tasks_blocked()
        stage.announcer.close()
    assert stage.server.counts.announcements == 0
