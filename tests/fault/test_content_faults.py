"""Every call to the server fails once, in every way; what was written still arrives, exactly."""

import random
from itertools import count

import pytest
import trio

from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.limits import KIB, MIB
from cache import MemoryCache
from fakes.dirty_content import MemoryContent, overwritten, whole
from fakes.drive_server import DRIVES, FakeServer
from mountfs.blocks.room import Blocks
from mountfs.blocks.workers import InlineWorkers
from mountfs.core.content import ContentSource
from mountfs.errors import DeadlinePassed, MountError, Offline, RequestRefused, ServerBusy

FAILURES: dict[str, MountError] = {
    "offline": Offline("cut"),
    "late": DeadlinePassed("late"),
    "busy": ServerBusy("busy"),
    "refused": RequestRefused(ErrorCode.MALFORMED, "no"),
}


class Breaker:
    """Fails, or holds for ever, the call of a number; counts calls."""

    def __init__(self, at_call: int, error: MountError | None) -> None:
        self.at_call = at_call
        self.error = error
        self.calls = 0
        self.held = trio.Event()

    @property
    def fired(self) -> bool:
        return self.calls >= self.at_call

    def __call__(self, call: str) -> trio.Event | None:
        self.calls += 1
        if self.calls != self.at_call:
            return None
        if self.error is not None:
            raise self.error
        self.held.set()
        return trio.Event()


def blocks_over(server: FakeServer) -> Blocks:
    return Blocks(
        server,
        MemoryCache(limit_bytes=1 << 30),
        DRIVES,
        workers=InlineWorkers(),
        cache_workers=InlineWorkers(),
        random_bytes=random.Random(7).randbytes,
    )


def random_bytes(length: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(length)


def base_file(server: FakeServer) -> ContentSource:
    return server.make_file(70_000, [random_bytes(200 * KIB, seed) for seed in range(8)])


def edit_of(server: FakeServer, base: ContentSource) -> MemoryContent:
    """Three overwritten chunks, that a device without cache must fetch, and an appended tail."""
    data = bytearray(server.content_of(base.manifest.manifest_id))
    ranges = [(at, at + KIB) for at in (5, 500 * KIB, 900 * KIB)]
    for start, end in ranges:
        data[start:end] = random_bytes(end - start, start)
    tail = random_bytes(MIB, 99)
    ranges.append((len(data), len(data) + len(tail)))
    return overwritten(base, bytes(data) + tail, *ranges)


async def arrives(server: FakeServer, blocks: Blocks, content: MemoryContent) -> None:
    """Send as `sync` does: again and again, until the commit takes it."""
    for _ in range(4):
        sent = await blocks.uploader.send(content)
        committed = server.commit_content(content.node_id, sent.new_content)
        if committed is not None:
            assert server.content_of(committed.manifest.manifest_id) == content.data
            return
    raise AssertionError("never arrived")


@pytest.mark.parametrize("failure", list(FAILURES))
@pytest.mark.parametrize("kind", ["new", "edit"])
async def test_an_upload_that_fails_at_any_call_is_sent_again(failure: str, kind: str) -> None:
    for at_call in count(1):
        server = FakeServer()
        blocks = blocks_over(server)
        content = (
            edit_of(server, base_file(server))
            if kind == "edit"
            else whole(random_bytes(5 * MIB, 1))
        )
        breaker = server.before_call = Breaker(at_call, FAILURES[failure])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(blocks.run)
            try:
                await blocks.uploader.send(content)
            except MountError:
                assert breaker.fired
            await arrives(server, blocks, content)
            nursery.cancel_scope.cancel()
        if not breaker.fired:
            assert at_call > 3
            return


@pytest.mark.parametrize("kind", ["new", "edit"])
async def test_an_upload_cancelled_at_any_call_is_sent_again(kind: str) -> None:
    for at_call in count(1):
        server = FakeServer()
        blocks = blocks_over(server)
        content = (
            edit_of(server, base_file(server))
            if kind == "edit"
            else whole(random_bytes(5 * MIB, 1))
        )
        breaker = server.before_call = Breaker(at_call, None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(blocks.run)
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as sending:
                    sending.start_soon(_cancel_when, breaker.held, scope)
                    await blocks.uploader.send(content)
                    sending.cancel_scope.cancel()
            # A fetch that hangs belongs to the fetcher; the network would end it.
            blocks.set_online(False)
            blocks.set_online(True)
            await arrives(server, blocks, content)
            nursery.cancel_scope.cancel()
        if not breaker.fired:
            assert at_call > 3
            return


async def _cancel_when(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


@pytest.mark.parametrize("failure", list(FAILURES))
async def test_a_read_that_fails_at_any_call_shows_no_wrong_byte(failure: str) -> None:
    for at_call in count(1):
        server = FakeServer()
        source = base_file(server)
        expected = server.content_of(source.manifest.manifest_id)
        blocks = blocks_over(server)
        breaker = server.before_call = Breaker(at_call, FAILURES[failure])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(blocks.run)
            for _ in range(3):
                try:
                    manifest = await blocks.catalog.load(
                        source.drive_id,
                        source.node_id,
                        source.revision,
                        source.manifest.manifest_id,
                    )
                    loaded = source._replace(manifest=manifest)
                    assert await blocks.reader.read(loaded, 0, len(expected)) == expected
                except MountError:
                    assert breaker.fired
            assert await blocks.reader.read(source, 0, len(expected)) == expected
            nursery.cancel_scope.cancel()
        if not breaker.fired:
            assert at_call > 3
            return


async def test_a_broken_cache_is_only_slower() -> None:
    class Forgetful(MemoryCache):
        def put_many(self, view: str, chunks: object) -> int:
            return 0

    server = FakeServer()
    source = base_file(server)
    expected = server.content_of(source.manifest.manifest_id)
    blocks = Blocks(server, Forgetful(limit_bytes=1 << 30), DRIVES)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(blocks.run)
        assert await blocks.reader.read(source, 0, len(expected)) == expected
        await blocks.store.drain()
        await arrives(server, blocks, edit_of(server, source))
        nursery.cancel_scope.cancel()
