"""What the server lost and this device has goes back: how much, when, and what is left out."""

import random
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from backend_server.protocol.identity import ChunkId
from backend_server.protocol.limits import INLINE_CONTENT_BYTES_MAX, KIB, MIB
from cache import MemoryCache
from fakes.dirty_content import whole
from fakes.drive_server import DRIVE, DRIVE_INFO, DRIVES, FakeServer
from mountfs.blocks.bring_back import ASK_EVERY_S, BringBack
from mountfs.blocks.lost_chunks import LostChunks
from mountfs.blocks.room import Blocks
from mountfs.blocks.workers import InlineWorkers
from mountfs.core.content import ContentSource
from mountfs.errors import Offline

NODE = 70_000


class Bench:
    def __init__(self) -> None:
        self.server = FakeServer()
        self.cache = MemoryCache(limit_bytes=1 << 30)
        workers = InlineWorkers()
        self.blocks = Blocks(
            self.server, self.cache, DRIVES, workers=workers, cache_workers=workers
        )
        self.bring_back = BringBack(
            self.server,
            self.blocks.store,
            workers,
            DRIVE_INFO,
            self.blocks.lost,
            new_upload_id=self.blocks.uploader.new_upload_id,
        )
        self.chance = random.Random(1)

    async def read_here(self, chunk_count: int, size_bytes: int = 10 * KIB) -> ContentSource:
        """A file that this device has read, so that it is in the cache."""
        parts = [self.chance.randbytes(size_bytes) for _ in range(chunk_count)]
        source = self.server.make_file(NODE, parts)
        await self.blocks.reader.read(source, 0, chunk_count * size_bytes)
        await self.blocks.store.drain()
        return source

    async def ask_now(self) -> None:
        self.bring_back.try_again()
        await wait_all_tasks_blocked()


@pytest.fixture
async def bench(nursery: trio.Nursery) -> AsyncIterator[Bench]:
    made = Bench()
    nursery.start_soon(made.blocks.run)
    nursery.start_soon(made.bring_back.run)
    yield made
    nursery.cancel_scope.cancel()


async def test_what_is_here_goes_back_and_nothing_else(bench: Bench) -> None:
    source = await bench.read_here(5)
    lost = bench.server.lose(source, 1, 3)
    elsewhere = bench.server.make_file(NODE + 1, [b"another device's"])
    gone = bench.server.lose(elsewhere, 0)
    await bench.ask_now()
    assert set(bench.server.lost) == set(gone)
    assert set(lost) <= bench.server.chunks.keys()
    assert bench.server.counts.blocks_up == 2
    assert bench.blocks.lost.among([*lost, *gone]) == set(gone)
    await bench.ask_now()
    assert bench.server.counts.blocks_up == 2


async def test_nothing_lost_costs_one_question(bench: Bench) -> None:
    await bench.read_here(2)
    await bench.ask_now()
    assert bench.server.counts.announcements == 0
    assert bench.server.counts.bodies == 0


async def test_many_come_in_pages_and_bodies(bench: Bench) -> None:
    source = await bench.read_here(12, 1 * MIB)
    bench.server.lost_page_max = 5
    bench.server.lose(source, *range(12))
    await bench.ask_now()
    assert bench.server.lost == {}
    assert bench.server.counts.announcements == 3
    assert bench.server.counts.bodies >= 6


async def test_it_asks_every_hour_and_whenever_the_server_is_back(
    autojump_clock: MockClock, bench: Bench
) -> None:
    source = await bench.read_here(3)
    bench.server.lose(source, 0)

    def away(call: str) -> None:
        raise Offline("away")

    bench.server.before_call = away
    await bench.ask_now()
    assert bench.server.lost
    bench.server.before_call = None
    await trio.sleep(ASK_EVERY_S + 1)
    assert not bench.server.lost
    bench.server.lose(source, 1)
    await bench.ask_now()
    assert not bench.server.lost


async def test_what_is_not_what_its_id_says_is_left_out(bench: Bench) -> None:
    source = await bench.read_here(2)
    bench.server.lose(source, 0, 1)
    wrong = ChunkId(b"w" * 32)
    bench.server.lost[wrong] = (NODE, 1, 5)
    bench.cache.put_many(DRIVE, [(wrong, b"wrong")])
    await bench.ask_now()
    assert set(bench.server.lost) == {wrong}


@pytest.mark.parametrize("size_bytes", [20 * KIB, 3 * MIB])
async def test_what_is_written_again_is_sent_though_the_base_names_it(
    bench: Bench, size_bytes: int
) -> None:
    """The same bytes over the same file: the base says that they are there, and they are not."""
    data = bench.chance.randbytes(size_bytes)
    content = whole(data, node_id=NODE)
    sent = await bench.blocks.uploader.send(content)
    source = bench.server.commit_content(NODE, sent.new_content)
    assert source is not None
    [lost] = bench.server.lose(source, 0)
    await bench.blocks.store.drain()
    bench.cache.remove_many(DRIVE, [lost])
    again = type(content)(content.data, content.dirty, source, 0, content.node_id, DRIVE)
    unaware = await bench.blocks.uploader.send(again)
    assert not unaware.new_content.inline
    assert list(bench.server.lost) == [lost]
    await bench.ask_now()
    assert list(bench.server.lost) == [lost]
    sent = await bench.blocks.uploader.send(again)
    if size_bytes > INLINE_CONTENT_BYTES_MAX:
        assert not bench.server.lost
    else:
        assert [block.chunk_id for block in sent.new_content.inline] == [lost]


def test_the_list_is_of_now() -> None:
    lost = LostChunks()
    first, second = ChunkId(b"1"), ChunkId(b"2")
    assert lost.among([first]) == set()
    lost.replace([first, second])
    lost.found([second])
    assert lost.among([first, second]) == {first}
    lost.replace([])
    assert lost.among([first]) == set()
