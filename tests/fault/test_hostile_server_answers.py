"""A server that answers with anything at all: each call ends, in time, with an error of our own,
and nothing is held that the server was not allowed to send."""

import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
import msgspec
import pytest
import trio
import zstandard
from trio.testing import MockClock

from backend_server.protocol.account_messages import (
    AccountAnswer,
    DriveInfo,
    SessionAnswer,
    SessionRequest,
)
from backend_server.protocol.chunking import ChunkerParameters
from backend_server.protocol.commit_messages import CommitRequest
from backend_server.protocol.encoding import encode
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.frames import encode_frame
from backend_server.protocol.identity import DriveId, UploadId
from backend_server.protocol.limits import MIB
from backend_server.protocol.transfer_messages import (
    BlockHeader,
    ChunkLength,
    FetchRequest,
    ManifestsRequest,
    UploadAnswer,
    UploadRequest,
)
from backend_server.protocol.tree_messages import PollRequest
from mountfs.app.failures import message_of, remedy_of
from mountfs.errors import Corruption, DeadlinePassed, MountError, RequestRefused, ServerBusy
from mountfs.transport.client import ServerClient
from mountfs.transport.refusals import RETRY_AFTER_S_MAX

DRIVE = DriveId("0" * 16)
DEADLINE_S = 1000.0


@dataclass
class Body(httpx.AsyncByteStream):
    """A body piece by piece, with a pause before each; without end if told so."""

    pieces: list[bytes]
    pause_s: float = 0.0
    is_endless: bool = False
    sent_bytes: int = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            for piece in self.pieces:
                await trio.sleep(self.pause_s)
                self.sent_bytes += len(piece)
                yield piece
            if not self.is_endless:
                return


@dataclass
class Anything(httpx.AsyncBaseTransport):
    """Answers every request with the same."""

    body: Body
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[httpx.Request] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        self.requests.append(request)
        return httpx.Response(self.status, headers=self.headers, stream=self.body)


async def fetch(client: ServerClient) -> None:
    async with client.fetch_blocks(DRIVE, FetchRequest([])) as blocks:
        async for _ in blocks:
            pass


Ask = Callable[[ServerClient], Awaitable[object]]
CALLS: dict[str, Ask] = {
    "log in": lambda client: client.log_in(SessionRequest("a@b", "p", "d")),
    "account": lambda client: client.account(),
    "devices": lambda client: client.devices(),
    "snapshot": lambda client: client.snapshot_page(DRIVE),
    "changes": lambda client: client.changes(DRIVE, "c"),
    "poll": lambda client: client.poll(PollRequest({})),
    "announce": lambda client: client.announce(DRIVE, UploadRequest(b"u" * 16, 1, 0, 0, [])),
    "send blocks": lambda client: client.send_blocks(DRIVE, UploadId(b"u" * 16), []),
    "lost blocks": lambda client: client.lost_blocks(DRIVE),
    "manifests": lambda client: client.fetch_manifests(DRIVE, ManifestsRequest([])),
    "commit": lambda client: client.commit(DRIVE, CommitRequest(0, [])),
    "fetch blocks": fetch,
}


async def ask(call: str, server: Anything) -> MountError:
    """Return what the call raises: one of ours, in time, that says something to a person."""
    client = ServerClient("http://server", "t", http_transport=server, jitter=lambda: 0.0)
    with trio.fail_after(DEADLINE_S), pytest.raises(MountError) as caught:
        await CALLS[call](client)
    said = message_of(caught.value)
    assert said and said.isprintable() and len(said) < 1000
    assert remedy_of(caught.value) or isinstance(caught.value, RequestRefused)
    return caught.value


GARBAGE = {
    "nothing": b"",
    "text": b"<html>hello</html>",
    "zeros": bytes(1000),
    "no UTF-8": b"\x81\xa6cursor\xa2\xff\xfe",
    "another message": encode({"a": 1}),
    "nested deep, msgpack": b"\x91" * 100_000,
    "nested deep where nobody looks": b"\x81\xa1x" + b"\x91" * 100_000,
    "nested deep, JSON": b"[" * 100_000,
    "a list of four thousand million": b"\xdd\xff\xff\xff\xff",
    "a string of four thousand million": b"\x81\xa6cursor\xdb\xff\xff\xff\xff",
    "a frame of four thousand million": b"\xff" * 8,
    "a frame whose header is nested deep": encode_frame(b"\x91" * 60_000),
    "half a frame": encode_frame(encode(BlockHeader(b"c" * 32)), b"payload")[:-1],
    "numbers out of bounds": b'{"retry_after_s": 1e999}',
    "not a number": b'{"moved": [], "retry_after_s": NaN}',
}


@pytest.mark.parametrize("garbage", list(GARBAGE))
async def test_garbage_is_corruption(autojump_clock: MockClock, garbage: str) -> None:
    for call in CALLS:
        if (call, garbage) == ("fetch blocks", "nothing"):
            continue  # no blocks: whoever asked for some notices
        body = Body([GARBAGE[garbage]])
        assert isinstance(await ask(call, Anything(body)), Corruption), call


@pytest.mark.parametrize("status", [201, 204, 301, 302, 304, 307, 400, 404, 418, 999])
async def test_an_answer_that_is_none_is_corruption(autojump_clock: MockClock, status: int) -> None:
    for call in CALLS:
        server = Anything(Body([b"elsewhere"]), status, {"location": "http://evil.example/"})
        assert isinstance(await ask(call, server), Corruption), call
        assert {request.url.host for request in server.requests} == {"server"}, "nobody follows"


@pytest.mark.parametrize("status", [200, 503])
async def test_a_body_without_end_ends(autojump_clock: MockClock, status: int) -> None:
    for call in CALLS:
        body = Body([bytes(1 * MIB)], is_endless=True)
        await ask(call, Anything(body, status))
        assert body.sent_bytes <= 70 * MIB, call


@pytest.mark.parametrize("status", [200, 503])
async def test_a_body_that_comes_by_drops_passes_the_deadline(
    autojump_clock: MockClock, status: int
) -> None:
    for call in CALLS:
        drops = encode_frame(encode(BlockHeader(b"c" * 32)), bytes(1000))
        body = Body([bytes([byte]) for byte in drops], pause_s=5.0, is_endless=True)
        assert isinstance(await ask(call, Anything(body, status)), DeadlinePassed), call


def zstd_bomb(*, declared: bool) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=declared).compress(bytes(256 * MIB))


BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: gzip.compress(bytes(256 * MIB), compresslevel=1),
    "deflate": lambda: zlib.compress(bytes(256 * MIB), level=1),
    "zstd": lambda: zstd_bomb(declared=True),
    "zstd ": lambda: zstd_bomb(declared=False),
    "br": lambda: b"\x1b" + bytes(100),
    "zstd, gzip": lambda: b"anything",
}


@pytest.mark.parametrize("encoding", list(BOMBS))
async def test_bombs_are_not_unpacked(autojump_clock: MockClock, encoding: str) -> None:
    bomb = BOMBS[encoding]()
    headers = {"content-encoding": encoding.strip()}
    for call in CALLS:
        server = Anything(Body([bomb]), headers=headers)
        tracemalloc.start()
        assert isinstance(await ask(call, server), Corruption), call
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 4 * MIB + 3 * len(bomb), call


async def test_a_server_that_asks_for_a_year_is_not_given_it(autojump_clock: MockClock) -> None:
    year_s = 365.0 * 86_400
    for asked_s, given_s in ((year_s, RETRY_AFTER_S_MAX), (-year_s, 1.0), (7.0, 7.0)):
        body = Body([b'{"code":"busy","message":"m","retry_after_s":%f}' % asked_s])
        error = await ask("changes", Anything(body, 503))
        assert isinstance(error, ServerBusy)
        assert error.retry_after_s == given_s
    for asked_s, given_s in ((year_s, RETRY_AFTER_S_MAX), (-1.0, 0.0)):
        body = Body([b'{"moved":[],"retry_after_s":%f}' % asked_s])
        client = ServerClient("http://server", "t", http_transport=Anything(body))
        assert (await client.poll(PollRequest({}))).retry_after_s == given_s


async def test_what_a_server_says_is_fit_for_a_terminal(autojump_clock: MockClock) -> None:
    text = "\\u001b[2J\\u0007\\n" + "x" * 60_000
    body = Body([b'{"code":"forbidden","message":"%s"}' % text.encode()])
    error = await ask("changes", Anything(body, 403))
    assert isinstance(error, RequestRefused)
    assert error.code is ErrorCode.FORBIDDEN


GOOD_DRIVE = DriveInfo("00000000000000aa", "home", 1, "e", bytes(32), ChunkerParameters())


def account(**fields: object) -> AccountAnswer:
    values = {name: getattr(GOOD_DRIVE, name) for name in GOOD_DRIVE.__struct_fields__} | fields
    return AccountAnswer(1, "a@b", 1, "d", [DriveInfo(**values)], 0)


ACCOUNTS = {
    "a drive that is a path": account(drive_id="../../../../etc"),
    "a drive that is absolute": account(drive_id="/etc/0000000000"),
    "a drive of capitals": account(drive_id="00000000000000AA"),
    "a drive without an id": account(drive_id=""),
    "a short chunk key": account(chunk_key=bytes(31)),
    "a drive without a root": account(root_node=0),
    "a name for a terminal": account(name="\x1b[2J"),
    "an unknown chunker": account(chunker=ChunkerParameters(name="rabin")),
    "chunks larger than chunks": account(chunker=ChunkerParameters(size_bytes_max=2 * MIB)),
    "chunks of nothing": account(chunker=ChunkerParameters(size_bytes_min=0)),
    "chunks upside down": account(chunker=ChunkerParameters(size_bytes_min=300_000)),
    "a seed below zero": account(chunker=ChunkerParameters(seed=-1)),
}


@pytest.mark.parametrize("lie", list(ACCOUNTS))
async def test_an_account_that_cannot_be(autojump_clock: MockClock, lie: str) -> None:
    server = Anything(Body([msgspec.json.encode(ACCOUNTS[lie])]))
    assert isinstance(await ask("account", server), Corruption)


@pytest.mark.parametrize("token", ["", "a\r\nx-evil: 1", "ä", "a b", "t" * 5000])
async def test_a_token_that_no_header_holds(autojump_clock: MockClock, token: str) -> None:
    server = Anything(Body([msgspec.json.encode(SessionAnswer(token, 1, 1))]))
    assert isinstance(await ask("log in", server), Corruption)


@pytest.mark.parametrize("missing", [[-1], [1], [0, 1 << 40]])
async def test_chunks_are_missing_that_were_announced(
    autojump_clock: MockClock, missing: list[int]
) -> None:
    server = Anything(Body([encode(UploadAnswer(missing, 1.0))]))
    client = ServerClient("http://server", "t", http_transport=server)
    request = UploadRequest(b"u" * 16, 1, 0, 0, [ChunkLength(b"c" * 32, 1)])
    with pytest.raises(Corruption):
        await client.announce(DRIVE, request)


ENDLESS = {
    "a status line": (b"HTTP/1.1 200 ", b"k" * 10_000),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"x: " + b"y" * 1000 + b"\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\nx: ", b"y" * 10_000),
    "the head of a chunk": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;",
        b"e" * 10_000,
    ),
    "trailers": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
        b"x: " + b"y" * 1000 + b"\r\n",
    ),
}


@pytest.mark.parametrize("what", list(ENDLESS))
async def test_what_lies_around_a_body_ends_too(nursery: trio.Nursery, what: str) -> None:
    beginning, rest = ENDLESS[what]
    sent_bytes = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal sent_bytes
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await stream.receive_some(65_536)
            await stream.send_all(beginning)
            while True:
                await stream.send_all(rest)
                sent_bytes += len(rest)

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve, [listener])
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
    client = ServerClient(url, "t", jitter=lambda: 0.0)
    with trio.fail_after(DEADLINE_S), pytest.raises(MountError):
        await client.account()
    await client.aclose()
    assert sent_bytes < 64 * MIB
    nursery.cancel_scope.cancel()
