"""One exchange over real sockets: reuse, retry, deadlines, distrust, bytes."""

import gc
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import h11
import httpx
import msgspec
import pytest
import trio
import trio.testing
import zstandard
from trio.testing import MockClock

from backend_server.protocol.account_messages import SessionRequest
from backend_server.protocol.blocks import Block
from backend_server.protocol.commit_messages import CommitRequest
from backend_server.protocol.encoding import decode, encode
from backend_server.protocol.errors import ErrorBody, ErrorCode
from backend_server.protocol.frames import encode_frame
from backend_server.protocol.identity import DriveId, UploadId
from backend_server.protocol.limits import POLL_CLIENT_TIMEOUT_S
from backend_server.protocol.transfer_messages import (
    BlockHeader,
    BlocksAnswer,
    ChunkLength,
    FetchRequest,
    UploadRequest,
)
from backend_server.protocol.tree_messages import PollRequest
from harness.certificates import make_certificate
from harness.relay import free_port
from mountfs.errors import Corruption, DeadlinePassed, Offline, ServerBusy, SetupError
from mountfs.transport.bodies import BytesBody, FramesBody
from mountfs.transport.carrier import CALL_CONNECTIONS_MAX
from mountfs.transport.client import ServerClient

DRIVE = DriveId("0" * 16)
ACCOUNT = (
    b'{"account_id":1,"email":"a@b","device_id":1,"device_name":"d","drives":[],"server_time_ms":0}'
)


class Request:
    def __init__(self, head: h11.Request, body: bytes) -> None:
        self.method = head.method.decode()
        self.target = head.target.decode()
        self.headers = {name.decode().lower(): value.decode() for name, value in head.headers}
        self.body = body


Answer = tuple[int, list[tuple[str, str]], bytes]
Handler = Callable[[Request], Awaitable[Answer | None]]


class TinyServer:
    """Answers requests as it is told; None closes the connection instead."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.connections = 0
        self.received_bytes = 0

    async def serve(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        connection = h11.Connection(h11.SERVER)
        try:
            while True:
                request = await self._request(stream, connection)
                answer = None if request is None else await self.handler(request)
                if answer is None:
                    return
                status, headers, body = answer
                head = h11.Response(
                    status_code=status,
                    headers=[*headers, ("content-length", str(len(body)))],
                )
                for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                    await stream.send_all(connection.send(event) or b"")
                connection.start_next_cycle()
        except trio.BrokenResourceError:
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async def _request(self, stream: trio.abc.Stream, connection: h11.Connection) -> Request | None:
        head: h11.Request | None = None
        body = b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                data = await stream.receive_some(65536)
                self.received_bytes += len(data)
                connection.receive_data(bytes(data))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                return Request(head, body)
            else:
                return None


Start = Callable[[Handler], Awaitable[tuple[TinyServer, ServerClient]]]


@pytest.fixture
async def start(nursery: trio.Nursery) -> AsyncIterator[Start]:
    clients: list[ServerClient] = []

    async def begin(handler: Handler) -> tuple[TinyServer, ServerClient]:
        server = TinyServer(handler)
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, server.serve, [listener])
        port = listener.socket.getsockname()[1]
        client = ServerClient(f"http://127.0.0.1:{port}", "t" * 43, jitter=lambda: 0.0)
        clients.append(client)
        return server, client

    yield begin
    for client in clients:
        await client.aclose()
    nursery.cancel_scope.cancel()


async def test_calls_use_one_connection_again(start: Start) -> None:
    async def answer(request: Request) -> Answer:
        assert request.headers["authorization"] == "Bearer " + "t" * 43
        return 200, [], ACCOUNT

    server, client = await start(answer)
    for _ in range(5):
        assert (await client.account()).account_id == 1
    assert server.connections == 1
    assert client.traffic.requests == 5


async def test_a_stale_connection_is_tried_again_once(start: Start) -> None:
    seen = 0

    async def answer(request: Request) -> Answer | None:
        nonlocal seen
        seen += 1
        return None if seen == 2 else (200, [], ACCOUNT)

    server, client = await start(answer)
    await client.account()
    await client.account()
    assert seen == 3
    assert server.connections == 2


async def test_a_server_that_always_closes_is_offline_after_one_retry(start: Start) -> None:
    seen = 0

    async def answer(request: Request) -> Answer | None:
        nonlocal seen
        seen += 1
        return None

    _, client = await start(answer)
    with pytest.raises(Offline):
        await client.account()
    assert seen == 2


async def test_logging_in_is_never_repeated(start: Start) -> None:
    seen = 0

    async def answer(request: Request) -> Answer | None:
        nonlocal seen
        seen += 1
        return None

    _, client = await start(answer)
    with pytest.raises(Offline):
        await client.log_in(SessionRequest("a@b", "p", "d"))
    assert seen == 1


async def test_nobody_listening_is_offline() -> None:
    client = ServerClient(f"http://127.0.0.1:{free_port()}", "t")
    with pytest.raises(Offline):
        await client.account()
    await client.aclose()


@pytest.mark.parametrize("address", ["127.0.0.1:8420", "ftp://example.org", "http://", "http://:x"])
async def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(SetupError) as caught:
        ServerClient(address, None)
    assert caught.value.remedy


async def test_garbage_is_not_believed(start: Start) -> None:
    async def answer(request: Request) -> Answer:
        return 200, [], b"<html>"

    _, client = await start(answer)
    with pytest.raises(Corruption):
        await client.account()
    with pytest.raises(Corruption):
        await client.changes(DRIVE, "c")


async def test_patience_is_passed_on(start: Start) -> None:
    async def answer(request: Request) -> Answer:
        body = ErrorBody(ErrorCode.BUSY, "later", 3.5)
        return 503, [], msgspec.json.encode(body)

    _, client = await start(answer)
    with pytest.raises(ServerBusy) as caught:
        await client.changes(DRIVE, "c")
    assert caught.value.retry_after_s == 3.5


async def test_large_messages_travel_compressed_both_ways(start: Start) -> None:
    async def answer(request: Request) -> Answer:
        assert request.headers["content-encoding"] == "zstd"
        assert request.headers["accept-encoding"] == "zstd"
        plain = zstandard.ZstdDecompressor().decompress(request.body)
        assert decode(plain, UploadRequest).upload_id == b"u" * 5000
        assert len(decode(plain, UploadRequest).chunks) == 1000
        body = encode({"missing": list(range(1000)), "lease_s": 1.0})
        return 200, [("content-encoding", "zstd")], zstandard.ZstdCompressor().compress(body)

    _, client = await start(answer)
    chunks = [ChunkLength(b"c" * 32, 1)] * 1000
    made = await client.announce(DRIVE, UploadRequest(b"u" * 5000, 1, 0, 0, chunks))
    assert made.missing == list(range(1000))
    assert client.traffic.up_bytes < 500
    assert client.traffic.down_bytes < 4000


async def test_what_is_counted_is_what_was_sent(start: Start) -> None:
    async def answer(request: Request) -> Answer:
        return 200, [], encode(BlocksAnswer(2, 5))

    server, client = await start(answer)
    blocks = [
        *[(BlockHeader(bytes([n]) * 32), Block(b"head", b"x" * 400_000)) for n in range(8)],
        (BlockHeader(b"j" * 32), Block(b"head", b"y" * 10)),
    ]
    await client.send_blocks(DRIVE, UploadId(b"u" * 16), blocks)
    assert client.traffic.up_bytes == server.received_bytes
    with pytest.raises(Corruption):
        await client.changes(DRIVE, "a cursor")
    assert client.traffic.up_bytes == server.received_bytes


async def test_a_small_call_has_few_header_bytes(start: Start) -> None:
    async def answer(request: Request) -> Answer:
        return 200, [], b""

    server, client = await start(answer)
    request = CommitRequest(0, [])
    with pytest.raises(Corruption):
        await client.commit(DRIVE, request)
    assert server.received_bytes - len(encode(request)) < 300


async def test_blocks_arrive_as_they_are_sent(start: Start) -> None:
    frames = [
        encode_frame(encode(BlockHeader(bytes([n]) * 32)), bytes([n]) * 70_000) for n in range(9)
    ]

    async def answer(request: Request) -> Answer:
        return 200, [], b"".join(frames)

    _, client = await start(answer)
    async with client.fetch_blocks(DRIVE, FetchRequest([])) as blocks:
        got = [(header.chunk_id[0], block) async for header, block in blocks]
    assert got == [(n, bytes([n]) * 70_000) for n in range(9)]


async def test_a_stream_that_ends_inside_a_frame_is_noticed(start: Start) -> None:
    frame = encode_frame(encode(BlockHeader(b"i" * 32)), bytes(100))

    async def answer(request: Request) -> Answer:
        return 200, [], frame + frame[:-1]

    _, client = await start(answer)
    async with client.fetch_blocks(DRIVE, FetchRequest([])) as blocks:
        await anext(aiter(blocks))
        with pytest.raises(Corruption):
            await anext(aiter(blocks))


async def test_leaving_a_stream_early_frees_its_slot(start: Start) -> None:
    frame = encode_frame(encode(BlockHeader(b"i" * 32)), bytes(100_000))

    async def answer(request: Request) -> Answer:
        return 200, [], frame * 50 if "fetch" in request.target else ACCOUNT

    _, client = await start(answer)
    for _ in range(2 * CALL_CONNECTIONS_MAX):
        async with client.fetch_blocks(DRIVE, FetchRequest([])) as blocks:
            async for _ in blocks:
                break
    await client.account()


async def test_what_a_user_of_a_stream_raises_is_left_alone(start: Start) -> None:
    async def answer(request: Request) -> Answer:
        return 200, [], b""

    _, client = await start(answer)
    with pytest.raises(OSError, match="mine"):
        async with client.fetch_blocks(DRIVE, FetchRequest([])):
            raise OSError("mine")


async def test_cancelled_calls_leave_no_slot_behind(start: Start) -> None:
    gate = trio.Event()

    async def answer(request: Request) -> Answer:
        await gate.wait()
        return 200, [], ACCOUNT

    server, client = await start(answer)
    for _ in range(3):
        async with trio.open_nursery() as nursery:
            for _ in range(3 * CALL_CONNECTIONS_MAX):
                nursery.start_soon(client.account)
            await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
    assert server.connections == 3 * CALL_CONNECTIONS_MAX
    gate.set()
    assert (await client.account()).account_id == 1


async def test_the_long_poll_and_the_calls_take_no_slot_from_each_other(start: Start) -> None:
    gate = trio.Event()

    async def answer(request: Request) -> Answer:
        if request.target.endswith("/poll"):
            return 200, [], b'{"moved":["a"]}'
        await gate.wait()
        return 200, [], ACCOUNT

    _, client = await start(answer)
    async with trio.open_nursery() as nursery:
        for _ in range(2 * CALL_CONNECTIONS_MAX):
            nursery.start_soon(client.account)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert (await client.poll(PollRequest({}))).moved == ["a"]
        gate.set()


class _Silent(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError("unreachable")


class _ClosingLate(httpx.AsyncBaseTransport):
    """What a link that froze does in the end."""

    def __init__(self) -> None:
        self.requests_count = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests_count += 1
        await trio.sleep(29)
        raise httpx.RemoteProtocolError("closed")


async def test_what_breaks_late_lay_not_idle_and_is_not_tried_again(
    autojump_clock: MockClock,
) -> None:
    transport = _ClosingLate()
    client = ServerClient("http://s", "t", http_transport=transport)
    with pytest.raises(Offline):
        await client.account()
    assert transport.requests_count == 1
    assert trio.current_time() < 30


async def test_a_silent_server_passes_the_deadline(autojump_clock: MockClock) -> None:
    client = ServerClient("http://server", "t", http_transport=_Silent())
    began = trio.current_time()
    with pytest.raises(DeadlinePassed):
        await client.account()
    assert trio.current_time() - began <= 60
    began = trio.current_time()
    with pytest.raises(DeadlinePassed):
        await client.poll(PollRequest({}))
    assert trio.current_time() - began == pytest.approx(POLL_CLIENT_TIMEOUT_S)


async def test_a_certificate_is_trusted_only_when_told_so(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    async def answer(request: Request) -> Answer:
        return 200, [], ACCOUNT

    made = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    server = TinyServer(answer)

    async def serve(stream: trio.SocketStream) -> None:
        await server.serve(trio.SSLStream(stream, context, server_side=True))

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve, [listener])
    url = f"https://127.0.0.1:{listener.socket.getsockname()[1]}"
    stranger = ServerClient(url, "t")
    with pytest.raises(SetupError) as caught:
        await stranger.account()
    assert "--ca-file" in caught.value.remedy
    friend = ServerClient(url, "t", ca_file=made.certificate)
    assert (await friend.account()).account_id == 1
    for client in (stranger, friend):
        await client.aclose()
    with pytest.raises(SetupError):
        ServerClient(url, "t", ca_file=made.key)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "body",
    [
        BytesBody(b"message"),
        FramesBody([(BlockHeader(bytes(32)), Block(bytes(6), bytes(900_000)))] * 3),
    ],
)
async def test_a_body_may_be_left_in_the_middle(body: httpx.AsyncByteStream) -> None:
    """As by a connection that breaks: nothing may wait for the garbage collector."""
    pieces = aiter(body)
    first = await anext(pieces)
    del pieces
    gc.collect()
    await trio.testing.wait_all_tasks_blocked()
    assert await anext(aiter(body)) == first, "and be sent again"
