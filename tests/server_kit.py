"""A whole server in process, and devices that call it over HTTP without sockets.

Real SQL and real messages; blocks in memory or in a folder; time stands still until it is moved.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import msgspec
import pytest

from backend_server.app import ServerApp, in_process_seams, open_server
from backend_server.blocks.memory import MemoryStore
from backend_server.cli.initialise import initialise
from backend_server.config import Flags, ServerConfig, load_config
from backend_server.protocol.account_messages import (
    AccountAnswer,
    DriveInfo,
    SessionAnswer,
    SessionRequest,
)
from backend_server.protocol.blocks import decode_block, encode_block, encode_delta
from backend_server.protocol.commit_messages import (
    CommitAnswer,
    CommitRequest,
    CreateNode,
    InlineBlock,
    NewContent,
)
from backend_server.protocol.encoding import decode, encode
from backend_server.protocol.errors import HTTP_STATUS, ErrorBody, ErrorCode
from backend_server.protocol.frames import FrameReader, encode_frame
from backend_server.protocol.identity import chunk_id_of
from backend_server.protocol.limits import (
    MIB,
)
from backend_server.protocol.manifests import Entry, manifest_id_of, pack_entries
from backend_server.protocol.transfer_messages import (
    BlockHeader,
    ChunkLength,
    FetchGroup,
    FetchRequest,
    UploadRequest,
    WantedChunk,
)
from backend_server.protocol.tree_messages import NodeKind
from backend_server.services.log_in import LogInLimits

EMAIL = "ada@example.org"
PASSWORD = "correct horse"
UPLOAD = b"u" * 16
NODE = 1 << 40


# The in-process transport leaves a body that the server did not read to the collector.
UNREAD_BODY = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Clock:
    """Wall and monotonic time that stand still until they are moved."""

    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000

    def ms(self) -> int:
        return self.now_ms

    def s(self) -> float:
        return self.now_ms / 1000


class World:
    """A server, a clock, and devices that log in to it."""

    def __init__(self, server: ServerApp, clock: Clock, store: MemoryStore | None) -> None:
        self.server = server
        self.clock = clock
        self._store = store
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(server.asgi, client=("127.0.0.1", 1)),
            base_url="http://server",
        )

    @property
    def store(self) -> MemoryStore:
        assert self._store is not None
        return self._store

    async def log_in(self, email: str = EMAIL, password: str = PASSWORD) -> "Device":
        return await log_in(self.http, email, password)

    async def try_log_in(self, email: str = EMAIL, password: str = PASSWORD) -> httpx.Response:
        return await try_log_in(self.http, email, password)


async def try_log_in(http: httpx.AsyncClient, email: str, password: str) -> httpx.Response:
    body = msgspec.json.encode(SessionRequest(email, password, "a laptop"))
    return await http.post("/v1/sessions", content=body)


async def log_in(http: httpx.AsyncClient, email: str, password: str) -> "Device":
    answer = await try_log_in(http, email, password)
    assert answer.status_code == 200, answer.text
    device = Device(http, msgspec.json.decode(answer.content, type=SessionAnswer))
    account = await device.get("/v1/account")
    device.account = msgspec.json.decode(account.content, type=AccountAnswer)
    device.drive = device.account.drives[0]
    return device


class Device:
    """One log-in and the calls that it makes."""

    account: AccountAnswer
    drive: DriveInfo

    def __init__(self, http: httpx.AsyncClient, session: SessionAnswer) -> None:
        self.session = session
        self._http = http
        self.headers = {"authorization": f"Bearer {session.token}"}

    async def get(self, path: str, **params: str) -> httpx.Response:
        return await self._http.get(path, headers=self.headers, params=params)

    async def delete(self, path: str) -> httpx.Response:
        return await self._http.delete(path, headers=self.headers)

    async def post(
        self, path: str, body: object, *, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        content = body if isinstance(body, bytes) else encode(body)
        return await self._http.post(
            path, content=content, headers={**self.headers, **(headers or {})}
        )

    def path(self, call: str, drive_id: str | None = None) -> str:
        return f"/v1/drives/{drive_id or self.drive.drive_id}/{call}"

    def chunk_id(self, plaintext: bytes) -> bytes:
        return chunk_id_of(plaintext, chunk_key=self.drive.chunk_key)

    def frame(self, plaintext: bytes, base: bytes = b"") -> bytes:
        if base:
            header = BlockHeader(self.chunk_id(plaintext), base=self.chunk_id(base))
            return encode_frame(encode(header), encode_delta(plaintext, base))
        return encode_frame(encode(BlockHeader(self.chunk_id(plaintext))), encode_block(plaintext))

    async def send(self, *plaintexts: bytes, upload: bytes = UPLOAD) -> httpx.Response:
        body = b"".join(self.frame(plaintext) for plaintext in plaintexts)
        return await self.post(self.path(f"blocks?upload={upload.hex()}"), body)

    async def announce(
        self, *plaintexts: bytes, growth_bytes: int = 0, upload: bytes = UPLOAD
    ) -> httpx.Response:
        chunks = [ChunkLength(self.chunk_id(each), len(each)) for each in plaintexts]
        return await self.post(
            self.path("uploads"), UploadRequest(upload, NODE, 0, growth_bytes, chunks)
        )

    async def fetch(self, *wanted: WantedChunk) -> list[tuple[BlockHeader, bytes]]:
        request = FetchRequest([FetchGroup(NODE, 1, list(wanted))])
        answer = await self.post(self.path("blocks/fetch"), request)
        assert answer.status_code == 200, answer.text
        reader = FrameReader()
        frames = [
            (decode(header, BlockHeader), bytes(block))
            for header, block in reader.feed(answer.content)
        ]
        reader.finish()
        return frames

    async def fetch_all(self, *plaintexts: bytes) -> list[tuple[BlockHeader, bytes]]:
        return await self.fetch(*(WantedChunk(self.chunk_id(each)) for each in plaintexts))

    def fetch_request(self, *plaintexts: bytes) -> bytes:
        wanted = [WantedChunk(self.chunk_id(each)) for each in plaintexts]
        return encode(FetchRequest([FetchGroup(NODE, 1, wanted)]))

    async def fetch_plain(self, *plaintexts: bytes) -> list[bytes]:
        frames = await self.fetch_all(*plaintexts)
        return [decode_block(block) for _, block in frames]

    def create(self, number: int, name: bytes, content: NewContent | None = None) -> CreateNode:
        return CreateNode(
            number=number,
            group=0,
            parent=self.drive.root_node,
            name=name,
            node_id=NODE + number,
            kind=NodeKind.FILE,
            mode=0o644,
            uid=0,
            gid=0,
            mtime_ns=0,
            ctime_ns=0,
            content=content,
        )

    def inline(self, plaintext: bytes) -> NewContent:
        entries = [Entry(self.chunk_id(plaintext), len(plaintext))]  # type: ignore[arg-type]
        return NewContent(
            manifest_id_of(entries),
            len(plaintext),
            entries=pack_entries(entries),
            inline=[InlineBlock(self.chunk_id(plaintext), encode_block(plaintext))],
        )

    async def commit(self, *operations: CreateNode, answered_through: int = 0) -> CommitAnswer:
        request = CommitRequest(answered_through, list(operations))
        answer = await self.post(self.path("commits"), request)
        assert answer.status_code == 200, answer.text
        return decode(answer.content, CommitAnswer)


def code_of(answer: httpx.Response) -> ErrorCode:
    """The code of a refusal, which must come with its status."""
    body = msgspec.json.decode(answer.content, type=ErrorBody)
    assert answer.status_code == HTTP_STATUS[body.code]
    assert answer.headers["content-type"] == "application/json"
    return body.code


@pytest.fixture(scope="session")
def prepared_config(tmp_path_factory: pytest.TempPathFactory) -> ServerConfig:
    config = load_config(Flags(data=tmp_path_factory.mktemp("prepared")), {})
    initialise(config)
    return replace(config, free_bytes_min=0)


@pytest.fixture
def config(prepared_config: ServerConfig, tmp_path: Path) -> ServerConfig:
    data = tmp_path / "data"
    data.mkdir()
    (data / "blocks").mkdir()
    for name in ("metadata.db", "master.key"):
        (data / name).write_bytes((prepared_config.data / name).read_bytes())
        (data / name).chmod(0o600)
    return replace(prepared_config, data=data, master_key_file=data / "master.key")


@asynccontextmanager
async def open_world(
    config: ServerConfig,
    *,
    store: MemoryStore | None = None,
    limits: LogInLimits | None = None,
    quota_bytes: int = 100 * MIB,
    make_account: bool = True,
) -> AsyncIterator[World]:
    clock = Clock()
    changes: dict[str, object] = {"clock_ms": clock.ms, "clock_s": clock.s}
    if store is not None:
        changes["store"] = lambda root, threads, free_bytes_min: store
    if limits is not None:
        changes["log_in_limits"] = limits
    async with open_server(config, seams=in_process_seams(**changes)) as server:
        if make_account:
            await server.create_account(EMAIL, PASSWORD, quota_bytes=quota_bytes)
        world = World(server, clock, store)
        async with world.http:
            yield world


@pytest.fixture
async def world(config: ServerConfig) -> AsyncIterator[World]:
    async with open_world(config, store=MemoryStore()) as opened:
        yield opened
