"""What was cached and changed elsewhere comes by itself: how much, and when it cannot."""

import random
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from backend_server.protocol.limits import KIB, MIB
from cache import MemoryCache
from fakes.drive_server import DRIVE, DRIVES, FakeServer
from mountfs.app.refetch import Refetch
from mountfs.blocks.room import Blocks
from mountfs.blocks.workers import InlineWorkers
from mountfs.core.content import ContentSource
from mountfs.state.overlay import Source


def stored(content: ContentSource) -> Source:
    manifest = content.manifest
    return Source(content.node_id, content.revision, manifest.manifest_id, b"", manifest.size_bytes)


class Bench:
    def __init__(self) -> None:
        self.server = FakeServer()
        cache = MemoryCache(limit_bytes=1 << 30)
        workers = InlineWorkers()
        self.blocks = Blocks(self.server, cache, DRIVES, workers=workers, cache_workers=workers)
        self.current: dict[int, Source] = {}
        self.refetch = Refetch(DRIVE, self.blocks.reader, self.blocks.catalog, self.current.get)
        self.chance = random.Random(1)

    async def change(self, node_id: int, size_bytes: int) -> tuple[Source, ContentSource]:
        """Let a file be read here, then be changed elsewhere. Returns old and new content."""
        old = self.server.make_file(node_id, [self.chance.randbytes(size_bytes)])
        await self.blocks.catalog.load(DRIVE, old.node_id, old.revision, old.manifest.manifest_id)
        await self.blocks.reader.read(old, 0, 1)
        new = self.server.make_file(node_id, [self.chance.randbytes(size_bytes)])
        self.current[node_id] = stored(new)
        return stored(old), new

    def is_here(self, content: ContentSource) -> bool:
        return self.blocks.reader.read_nowait(content, 0, 1) is not None


@pytest.fixture
async def bench(nursery: trio.Nursery) -> AsyncIterator[Bench]:
    made = Bench()
    nursery.start_soon(made.blocks.run)
    nursery.start_soon(made.refetch.run)
    yield made
    nursery.cancel_scope.cancel()


async def test_it_comes_in_few_requests(autojump_clock: MockClock, bench: Bench) -> None:
    changes = {70_000 + n: await bench.change(70_000 + n, 10 * KIB) for n in range(50)}
    bench.server.counts.fetches = 0
    bench.refetch.note({node_id: old for node_id, (old, _) in changes.items()})
    await trio.sleep(5)
    assert all(bench.is_here(new) for _, new in changes.values())
    assert bench.server.counts.fetches <= 3


async def test_what_was_never_read_here_is_left_alone(
    autojump_clock: MockClock, bench: Bench
) -> None:
    old = bench.server.make_file(70_000, [bytes(KIB)])
    new = bench.server.make_file(70_000, [bytes(2 * KIB)])
    bench.current[70_000] = stored(new)
    bench.refetch.note({70_000: stored(old)})
    await trio.sleep(5)
    assert bench.server.counts.fetches == 0


async def test_growth_does_not_fill_the_cache(autojump_clock: MockClock, bench: Bench) -> None:
    old, _ = await bench.change(70_000, 4 * KIB)
    grown = bench.server.make_file(
        70_000, [bench.chance.randbytes(4 * KIB), *(bench.chance.randbytes(MIB) for _ in range(20))]
    )
    bench.current[70_000] = stored(grown)
    bench.server.counts.down_bytes = 0
    bench.refetch.note({70_000: old})
    await trio.sleep(5)
    assert bench.is_here(grown)
    assert bench.server.counts.down_bytes < 64 * KIB


async def test_one_that_is_refused_holds_up_no_other(
    autojump_clock: MockClock, bench: Bench
) -> None:
    changes = {70_000 + n: await bench.change(70_000 + n, 100 * KIB) for n in range(10)}
    refused = changes[70_009][1]
    del bench.server.revisions[refused.node_id, refused.revision]
    bench.refetch.note({node_id: old for node_id, (old, _) in changes.items()})
    await trio.sleep(5)
    assert [bench.is_here(new) for _, new in changes.values()] == [True] * 9 + [False]


async def test_what_the_server_was_away_for_comes_when_it_is_back(
    autojump_clock: MockClock, bench: Bench
) -> None:
    old, new = await bench.change(70_000, 100 * KIB)
    bench.blocks.reader.set_online(False)
    bench.blocks.catalog.set_online(False)
    bench.refetch.note({70_000: old})
    await wait_all_tasks_blocked()
    assert not bench.is_here(new)
    bench.blocks.reader.set_online(True)
    bench.blocks.catalog.set_online(True)
    bench.refetch.try_again()
    await trio.sleep(5)
    assert bench.is_here(new)
