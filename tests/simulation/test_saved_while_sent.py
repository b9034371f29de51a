"""A file is saved over another, or moved to a backup, while its own content is on its way.

The answer comes with the feed that has the content, but before the mirror has it: what is renamed
then must not fall back to what the mirror still shows.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import trio
from trio.testing import MockClock

from mountfs.core.content import DirtyContent
from simulation.world import Device, Link, World, open_world


class HeldLink(Link):
    """Keeps the answers to commits until `let_go`."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        super().__init__(inner)
        self.let_go = trio.Event()
        self.let_go.set()
        self.has_one = trio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if request.url.path.endswith("/commits") and not self.let_go.is_set():
            self.has_one.set()
            await self.let_go.wait()
        return response


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        world.make_link = lambda to, seed: HeldLink(to)
        yield world


async def rename_over(device: Device) -> None:
    await device.rename("sent", "old")


async def move_to_backup(device: Device) -> None:
    await device.rename("sent", "sent~")
    await device.write("sent", b"newest")


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (rename_over, {"old": b"on its way"}),
        (move_to_backup, {"old": b"old", "sent": b"newest", "sent~": b"on its way"}),
    ],
)
async def test_the_content_on_its_way_is_what_is_saved(
    autojump_clock: MockClock,
    world: World,
    work: Callable[[Device], Awaitable[None]],
    expected: dict[str, bytes | None],
) -> None:
    a, b = await world.device("a"), await world.device("b")
    link = a.transport
    assert isinstance(link, HeldLink)
    await a.write("sent", b"before")
    await a.write("old", b"old")
    await world.quiet()
    link.let_go = trio.Event()
    await a.write("sent", b"on its way")
    await a.chmod("sent", 0o600)
    await link.has_one.wait()
    await work(a)
    link.let_go.set()
    await world.quiet()
    assert await a.tree() == await b.tree() == expected
    kept = next(name for name, content in expected.items() if content == b"on its way")
    for device in (a, b):
        assert (await device.stat(kept)).mode & 0o777 == 0o600


@pytest.mark.timeout(60)  # when this broke, it asked the server for ever, in no time
async def test_what_is_written_to_an_unchanged_file_while_it_is_looked_at_is_sent(
    autojump_clock: MockClock, world: World
) -> None:
    a, b = await world.device("a"), await world.device("b")
    await a.write("file", b"")
    await world.quiet()
    is_written = False

    async def write(content: DirtyContent) -> None:
        nonlocal is_written
        if not content.size_bytes and not is_written:
            is_written = True
            await a.patch("file", 0, b"written")

    a.contents.during_send = write
    await a.rename("file", "backup")
    await a.write("file", b"")
    await world.quiet()
    assert is_written
    assert await a.tree() == await b.tree() == {"file": b"written", "backup": b""}
