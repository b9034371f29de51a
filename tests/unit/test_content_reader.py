"""Reading committed content: what is fetched, how often, and what goes wrong."""

import random
from collections.abc import AsyncIterator, Callable
from typing import ParamSpec, TypeVar

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from backend_server.protocol.limits import KIB, MIB
from backend_server.protocol.manifests import HOLE, Entry, pack_entries
from cache import MemoryCache
from fakes.drive_server import DRIVE, DRIVES, FakeServer
from mountfs.blocks.room import Blocks
from mountfs.blocks.workers import InlineWorkers
from mountfs.core.content import ContentSource
from mountfs.errors import Corruption, DeadlinePassed, Offline

P = ParamSpec("P")
T = TypeVar("T")


def chunks(count: int, size: int = 256 * KIB, seed: int = 0) -> list[bytes]:
    generator = random.Random(seed)
    return [generator.randbytes(size) for _ in range(count)]


class Bench:
    def __init__(self) -> None:
        self.server = FakeServer()
        self.cache = MemoryCache(limit_bytes=1 << 30)
        self.blocks = self.device(self.cache)

    def device(self, cache: MemoryCache) -> Blocks:
        return Blocks(
            self.server,
            cache,
            DRIVES,
            workers=InlineWorkers(),
            cache_workers=InlineWorkers(),
        )


@pytest.fixture
async def bench(nursery: trio.Nursery) -> AsyncIterator[Bench]:
    made = Bench()
    nursery.start_soon(made.blocks.run)
    yield made
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 1), (5, 100), (256 * KIB - 3, 6), (0, 10 * MIB), (768 * KIB, 10), (MIB, 5), (300_000, 0)],
)
async def test_reads_what_the_file_holds(bench: Bench, offset: int, length: int) -> None:
    parts = chunks(4)
    source = bench.server.make_file(70_000, parts)
    expected = b"".join(parts)[offset : offset + length]
    assert await bench.blocks.reader.read(source, offset, length) == expected
    assert await bench.blocks.reader.read(source, offset, length) == expected


async def test_holes_are_zeros_and_ask_nobody(bench: Bench) -> None:
    [part] = chunks(1)
    source = bench.server.make_file(70_000, [part])
    entries = [Entry(HOLE, 1 << 40), *source.manifest.entries]
    holey = bench.server.make_revision(70_000, entries)
    assert await bench.blocks.reader.read(holey, 5, 100) == bytes(100)
    assert bench.server.counts.fetches == 0
    assert await bench.blocks.reader.read(holey, (1 << 40) - 2, 4) == b"\0\0" + part[:2]


async def test_many_readers_of_one_chunk_share_one_flight(bench: Bench) -> None:
    [part] = chunks(1)
    source = bench.server.make_file(70_000, [part])
    async with trio.open_nursery() as readers:
        for _ in range(20):
            readers.start_soon(bench.blocks.reader.read, source, 0, 100)
    assert bench.server.counts.blocks_down == 1


async def test_a_cancelled_reader_does_not_fail_the_others(bench: Bench) -> None:
    [part] = chunks(1)
    source = bench.server.make_file(70_000, [part])
    gate = trio.Event()
    bench.server.before_call = lambda call: gate if call == "fetch_blocks" else None
    got: list[bytes] = []

    async def read() -> None:
        got.append(await bench.blocks.reader.read(source, 0, 10))

    async with trio.open_nursery() as others:
        async with trio.open_nursery() as first:
            first.start_soon(read)
            await wait_all_tasks_blocked()
            others.start_soon(read)
            await wait_all_tasks_blocked()
            first.cancel_scope.cancel()
        gate.set()
    assert got == [part[:10]]
    assert bench.server.counts.fetches == 1


async def test_chunks_asked_for_meanwhile_go_in_one_request(bench: Bench) -> None:
    files = [bench.server.make_file(70_000 + n, chunks(1, KIB, n)) for n in range(200)]
    await bench.blocks.reader.prefetch(files)
    assert bench.server.counts.blocks_down == 200
    assert bench.server.counts.fetches <= 3
    bench.server.before_call = None
    for source in files:
        assert bench.blocks.reader.read_nowait(source, 0, KIB) is not None


async def test_what_was_read_is_in_the_cache_of_the_next_start(bench: Bench) -> None:
    parts = chunks(8)
    source = bench.server.make_file(70_000, parts)
    await bench.blocks.reader.read(source, 0, 2 * MIB)
    await bench.blocks.store.drain()
    again = bench.device(bench.cache)
    assert again.reader.read_nowait(source, 0, 2 * MIB) == b"".join(parts)


async def test_a_damaged_block_is_fetched_again(bench: Bench) -> None:
    [part] = chunks(1)
    source = bench.server.make_file(70_000, [part])
    bench.server.broken[source.manifest.entries[0].chunk_id] = 1
    assert await bench.blocks.reader.read(source, 0, 10) == part[:10]
    assert bench.server.counts.fetches == 2


async def test_a_block_damaged_twice_is_never_shown(bench: Bench) -> None:
    source = bench.server.make_file(70_000, chunks(1))
    bench.server.broken[source.manifest.entries[0].chunk_id] = 2
    with pytest.raises(Corruption):
        await bench.blocks.reader.read(source, 0, 10)
    assert bench.blocks.reader.read_nowait(source, 0, 10) is None
    assert await bench.blocks.reader.read(source, 0, 10)


async def test_a_stream_that_breaks_goes_on_with_what_is_left(bench: Bench) -> None:
    parts = chunks(6)
    source = bench.server.make_file(70_000, parts)
    bench.server.cut_after_blocks = 3
    assert await bench.blocks.reader.read(source, 0, 10 * MIB) == b"".join(parts)
    assert bench.server.counts.blocks_down <= 7


async def test_a_server_that_is_away_fails_the_read(bench: Bench) -> None:
    source = bench.server.make_file(70_000, chunks(1))

    def away(call: str) -> None:
        raise Offline("no route")

    bench.server.before_call = away
    with pytest.raises(Offline):
        await bench.blocks.reader.read(source, 0, 10)


async def test_known_offline_fails_at_once_and_readers_under_way_too(bench: Bench) -> None:
    source = bench.server.make_file(70_000, chunks(2))
    bench.server.before_call = lambda call: trio.Event()

    async def fails() -> None:
        with pytest.raises(Offline):
            await bench.blocks.reader.read(source, 0, 10)

    async with trio.open_nursery() as readers:
        readers.start_soon(fails)
        await wait_all_tasks_blocked()
        bench.blocks.set_online(False)
    with pytest.raises(Offline):
        await bench.blocks.reader.read(source, 300 * KIB, 10)
    bench.server.before_call = None
    bench.blocks.set_online(True)
    assert await bench.blocks.reader.read(source, 0, 10)


async def test_who_asks_after_the_outage_gets_a_new_flight(bench: Bench) -> None:
    source = bench.server.make_file(70_000, chunks(1))
    bench.server.before_call = lambda call: trio.Event()

    async def fails() -> None:
        with pytest.raises(Offline):
            await bench.blocks.reader.read(source, 0, 10)

    async with trio.open_nursery() as readers:
        readers.start_soon(fails)
        await wait_all_tasks_blocked()
        bench.blocks.set_online(False)
        bench.blocks.set_online(True)
        bench.server.before_call = None
        assert await bench.blocks.reader.read(source, 0, 10)


async def test_a_silent_server_fails_the_read_within_ten_seconds(
    bench: Bench, autojump_clock: MockClock
) -> None:
    source = bench.server.make_file(70_000, chunks(1))
    bench.server.before_call = lambda call: trio.Event()
    began = trio.current_time()
    with pytest.raises(DeadlinePassed):
        await bench.blocks.reader.read(source, 0, 10)
    assert trio.current_time() - began <= 10.0


async def test_what_the_server_has_not_is_an_error_at_once(bench: Bench) -> None:
    source = bench.server.make_file(70_000, chunks(1))
    stranger = source._replace(node_id=type(source.node_id)(99_999))
    with pytest.raises(Corruption):
        await bench.blocks.reader.read(stranger, 0, 10)
    bench.server.lose(source, 0)
    with pytest.raises(Corruption):
        await bench.blocks.reader.read(source, 0, 10)


async def test_a_changed_file_comes_as_deltas(bench: Bench) -> None:
    parts = chunks(4)
    old = bench.server.make_file(70_000, parts)
    stream = bench.blocks.reader.open_stream(old)
    await stream.read(0, MIB)
    changed = [parts[0], parts[1][:1000] + b"edit" + parts[1][1004:], *parts[2:]]
    new = bench.server.make_file(70_000, changed)
    before = bench.server.counts.down_bytes
    stream.update_source(new)
    assert await stream.read(0, MIB) == b"".join(changed)
    assert bench.server.counts.deltas_down == 1
    assert bench.server.counts.down_bytes - before < 1000


async def test_only_what_takes_the_place_of_cached_parts_comes_by_itself(bench: Bench) -> None:
    parts = chunks(6, seed=1)
    older = bench.server.make_file(70_000, parts)
    reader = bench.blocks.reader
    assert not reader.holds_part(older.drive_id, older.manifest)
    await reader.read(older, 0, 10)
    await reader.read(older, 5 * 256 * KIB, 10)
    assert reader.holds_part(older.drive_id, older.manifest)
    changed = [bytes([n]) + part[1:] for n, part in enumerate(parts)]
    newer = bench.server.make_file(70_000, [*changed, *chunks(1, KIB, 2)])
    await reader.prefetch_replaced([(newer, older.manifest)])
    assert reader.read_nowait(newer, 0, 100) is not None
    assert reader.read_nowait(newer, 5 * 256 * KIB, 256 * KIB + KIB) is not None, "and its new end"
    assert [reader.read_nowait(newer, n * 256 * KIB, 1) for n in range(1, 5)] == [None] * 4


async def test_a_base_that_was_evicted_meanwhile_is_done_without(bench: Bench) -> None:
    parts = chunks(1)
    old = bench.server.make_file(70_000, parts)
    stream = bench.blocks.reader.open_stream(old)
    await stream.read(0, MIB)
    await bench.blocks.store.drain()
    new = bench.server.make_file(70_000, [parts[0][:-4] + b"edit"])
    stream.update_source(new)
    device = bench.blocks.store
    old_id = old.manifest.entries[0].chunk_id

    def forget(call: str) -> None:
        if call == "fetch_blocks":
            bench.cache.remove_many(DRIVE, [old_id])
            device._memory.clear()
            device._memory_bytes = 0
            bench.server.before_call = None

    bench.server.before_call = forget
    assert (await stream.read(0, MIB))[-4:] == b"edit"
    assert bench.server.counts.fetches == 3


async def test_sequential_reads_stay_ahead_of_the_program(bench: Bench) -> None:
    parts = chunks(40)
    source = bench.server.make_file(70_000, parts)
    stream = bench.blocks.reader.open_stream(source)
    waited = 0
    for at in range(0, 10 * MIB, 128 * KIB):
        if bench.blocks.reader.read_nowait(source, at, 128 * KIB) is None:
            waited += 1
        assert await stream.read(at, 128 * KIB) == b"".join(parts)[at : at + 128 * KIB]
        await wait_all_tasks_blocked()
    assert waited == 1
    assert bench.server.counts.fetches < 15


async def test_memory_stays_bounded_while_a_large_file_streams(bench: Bench) -> None:
    source = bench.server.make_file(70_000, chunks(200))
    stream = bench.blocks.reader.open_stream(source)
    for at in range(0, 50 * MIB, MIB):
        await stream.read(at, MIB)
        assert bench.blocks.store._memory_bytes <= 32 * MIB
        assert bench.blocks.store._writer._queue_bytes <= 17 * MIB


async def test_a_slow_cache_slows_the_network_and_fills_no_memory() -> None:
    gate = trio.Event()

    class Slow(InlineWorkers):
        async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
            await gate.wait()
            return await super().run(work, *args, **kwargs)

    server = FakeServer()
    source = server.make_file(70_000, chunks(160))
    blocks = Blocks(server, MemoryCache(limit_bytes=1 << 30), DRIVES, cache_workers=Slow())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(blocks.run)
        nursery.start_soon(blocks.reader.prefetch, [source])
        await wait_all_tasks_blocked(0.01)
        assert 16 * MIB <= blocks.store._writer._queue_bytes <= 17 * MIB
        assert server.counts.down_bytes < 18 * MIB
        gate.set()
        await blocks.reader.prefetch([source])
        await blocks.store.drain()
        nursery.cancel_scope.cancel()
    assert not blocks.store.lacking(DRIVE, [one.chunk_id for one in source.manifest.entries])


async def test_manifests_come_together_and_once(bench: Bench) -> None:
    sources = [bench.server.make_file(70_000 + n, chunks(1, KIB, n)) for n in range(50)]

    async def load(source: ContentSource) -> None:
        manifest = await bench.blocks.catalog.load(
            DRIVE, source.node_id, source.revision, source.manifest.manifest_id, b""
        )
        assert manifest.entries == source.manifest.entries

    async with trio.open_nursery() as loads:
        for source in sources * 2:
            loads.start_soon(load, source)
    assert bench.server.counts.manifest_fetches <= 2
    await bench.blocks.store.drain()
    bench.blocks.set_online(False)
    again = bench.device(bench.cache)
    again.set_online(False)
    bench.blocks = again
    await load(sources[3])


async def test_a_changed_manifest_comes_as_a_splice(bench: Bench) -> None:
    parts = chunks(30, KIB)
    old = bench.server.make_file(70_000, parts)
    catalog = bench.blocks.catalog
    await catalog.load(DRIVE, old.node_id, old.revision, old.manifest.manifest_id)
    new = bench.server.make_file(70_000, [b"changed" * 100, *parts[1:]])
    loaded = await catalog.load(DRIVE, new.node_id, new.revision, new.manifest.manifest_id)
    assert loaded.entries == new.manifest.entries


async def test_a_false_manifest_is_refused(bench: Bench) -> None:
    source = bench.server.make_file(70_000, chunks(6, KIB))
    manifest_id = source.manifest.manifest_id
    del bench.server.manifests[manifest_id][3]
    with pytest.raises(Corruption):
        await bench.blocks.catalog.load(DRIVE, source.node_id, source.revision, manifest_id)
    packed = pack_entries(source.manifest.entries[:2])
    with pytest.raises(Corruption):
        await bench.blocks.catalog.load(DRIVE, source.node_id, source.revision, manifest_id, packed)
