"""When an upload announces, and who waits for the answer."""

import trio
from trio.testing import wait_all_tasks_blocked

from backend_server.protocol.identity import ChunkId
from backend_server.protocol.manifests import Entry
from backend_server.protocol.messages import UploadRequest
from fakes.drive_server import DRIVE, FakeServer
from mountfs.blocks.announcer import Announcer


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


async def test_only_what_the_first_announcement_names_may_go_beside_it() -> None:
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
        assert stage.passed == ["first"]
        stage.answer()
        await wait_all_tasks_blocked()
        assert stage.passed == ["first", "second"]
        stage.announcer.close()


async def test_chunks_gather_until_somebody_waits_for_them() -> None:
    stage = Stage()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.announcer.run)
        stage.announcer.offer(entries(1, 2))
        await wait_all_tasks_blocked()
        stage.answer()
        await wait_all_tasks_blocked()
        for n in range(10, 20):
            stage.announcer.offer(entries(n, 1))
            await wait_all_tasks_blocked()
        assert stage.server.counts.announcements == 1
        nursery.start_soon(stage.send, "late", entries(19, 1))
        await wait_all_tasks_blocked()
        stage.answer()
        await wait_all_tasks_blocked()
        assert stage.server.counts.announcements == 2
        assert stage.passed == ["late"]
        stage.announcer.close()


async def test_where_nothing_is_spared_nobody_waits_to_encode() -> None:
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


async def test_where_answers_spare_chunks_they_are_waited_for() -> None:
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


async def test_an_upload_tried_again_waits_from_the_start() -> None:
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


async def test_an_upload_with_nothing_to_send_announces_nothing() -> None:
    stage = Stage()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.announcer.run)
        await wait_all_tasks_blocked()
        stage.announcer.close()
    assert stage.server.counts.announcements == 0
