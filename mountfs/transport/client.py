"""`DriveApi` over HTTP."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import httpx
import msgspec

from backend_server.protocol import answers
from backend_server.protocol.account_messages import (
    AccountAnswer,
    DeviceInfo,
    SessionAnswer,
    SessionRequest,
)
from backend_server.protocol.blocks import Block
from backend_server.protocol.commit_messages import CommitAnswer, CommitRequest
from backend_server.protocol.encoding import FRAMES, MSGPACK, decode, encode
from backend_server.protocol.frames import FrameReader
from backend_server.protocol.identity import DeviceId, DriveId, UploadId
from backend_server.protocol.limits import POLL_CLIENT_TIMEOUT_S
from backend_server.protocol.transfer_messages import (
    BlockHeader,
    BlocksAnswer,
    FetchRequest,
    LostBlocksPage,
    ManifestsAnswer,
    ManifestsRequest,
    UploadAnswer,
    UploadRequest,
)
from backend_server.protocol.tree_messages import ChangesPage, PollAnswer, PollRequest
from mountfs.transport import routes
from mountfs.transport.bodies import FramesBody
from mountfs.transport.carrier import open_carrier
from mountfs.transport.exchange import CALL_DEADLINE_S, SLOWEST_BYTES_PER_S, Exchange
from mountfs.transport.refusals import network_errors, patience_of
from mountfs.transport.traffic import Traffic

JSON: Final = "application/json"
BLOCK_SILENCE_S: Final = 10.0
"""A stream of blocks that brings nothing for so long is broken."""
T = TypeVar("T")


class ServerClient:
    """One device's connections to its server. One a daemon.

    Args:
        server: Address such as `https://drive.example.org` or `http://127.0.0.1:8420`.
        token: Of this device; None may only log in.
        ca_file: PEM certificates to trust instead of the system's.
        http_transport: What carries the requests; tests and simulations put their own.
        jitter: Returns a number in [0.5, 1.5).
    """

    def __init__(
        self,
        server: str,
        token: str | None,
        *,
        ca_file: Path | None = None,
        http_transport: httpx.AsyncBaseTransport | None = None,
        jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.5),
    ) -> None:
        self.traffic = Traffic()
        with network_errors():
            url = httpx.URL(server)
            if url.scheme not in ("http", "https") or not url.host:
                raise httpx.UnsupportedProtocol(repr(server))
        if http_transport is None:
            http_transport = open_carrier(is_tls=url.scheme == "https", ca_file=ca_file)
        self._exchange = Exchange(
            url, http_transport, token=token, traffic=self.traffic, jitter=jitter
        )

    async def log_in(self, request: SessionRequest) -> SessionAnswer:
        """Make a device and return its token. Not idempotent, so never repeated.

        Raises:
            WrongPassword: Or the account does not exist; the server does not tell which.
        """
        answer = await self._exchange.call(
            "POST",
            routes.SESSIONS,
            body=msgspec.json.encode(request),
            body_kind=JSON,
            is_idempotent=False,
        )
        return _checked(_from_json(answer, SessionAnswer), answers.check_session)

    async def account(self) -> AccountAnswer:
        answer = await self._exchange.call("GET", routes.ACCOUNT)
        return _checked(_from_json(answer, AccountAnswer), answers.check_account)

    async def devices(self) -> list[DeviceInfo]:
        answer = await self._exchange.call("GET", routes.DEVICES)
        return _checked(_from_json(answer, list[DeviceInfo]), answers.check_devices)

    async def revoke_device(self, device_id: DeviceId) -> None:
        await self._exchange.call("DELETE", routes.device(device_id))

    async def snapshot_page(
        self, drive_id: DriveId, after: str | None = None, since: str | None = None
    ) -> ChangesPage:
        asked = {"after": after, "since": since}
        query = {name: cursor for name, cursor in asked.items() if cursor is not None}
        page = await self._get(routes.of_drive(drive_id, "snapshot"), query, ChangesPage)
        return _checked(page, answers.check_page)

    async def changes(self, drive_id: DriveId, cursor: str) -> ChangesPage:
        page = await self._get(
            routes.of_drive(drive_id, "changes"), {"cursor": cursor}, ChangesPage
        )
        return _checked(page, answers.check_page)

    async def poll(self, request: PollRequest) -> PollAnswer:
        answer = await self._exchange.poll(
            routes.POLL, msgspec.json.encode(request), JSON, timeout_s=POLL_CLIENT_TIMEOUT_S
        )
        said = _from_json(answer, PollAnswer)
        return PollAnswer(said.moved, patience_of(said.retry_after_s))

    async def announce(self, drive_id: DriveId, request: UploadRequest) -> UploadAnswer:
        answer = await self._post(routes.of_drive(drive_id, "uploads"), request, UploadAnswer)
        return _checked(answer, partial(answers.check_announced, request))

    async def send_blocks(
        self, drive_id: DriveId, upload_id: UploadId, blocks: Sequence[tuple[BlockHeader, Block]]
    ) -> BlocksAnswer:
        body = FramesBody(blocks)
        answer = await self._exchange.send_stream(
            "POST",
            routes.of_drive(drive_id, "blocks"),
            query={"upload": upload_id.hex()},
            body=body,
            body_bytes=body.length_bytes,
            body_kind=FRAMES,
            deadline_s=CALL_DEADLINE_S + body.length_bytes / SLOWEST_BYTES_PER_S,
        )
        return _from_msgpack(answer, BlocksAnswer)

    @asynccontextmanager
    async def fetch_blocks(
        self, drive_id: DriveId, request: FetchRequest
    ) -> AsyncIterator[AsyncIterator[tuple[BlockHeader, bytes | memoryview]]]:
        async with self._exchange.stream(
            routes.of_drive(drive_id, "blocks/fetch"),
            body=encode(request),
            body_kind=MSGPACK,
            read_timeout_s=BLOCK_SILENCE_S,
        ) as pieces:
            yield _Blocks(pieces)

    async def lost_blocks(self, drive_id: DriveId, after: str = "") -> LostBlocksPage:
        query = {"after": after} if after else {}
        page = await self._get(routes.of_drive(drive_id, "blocks/lost"), query, LostBlocksPage)
        return _checked(page, answers.check_lost_blocks)

    async def fetch_manifests(
        self, drive_id: DriveId, request: ManifestsRequest
    ) -> ManifestsAnswer:
        route = routes.of_drive(drive_id, "manifests/fetch")
        return await self._post(route, request, ManifestsAnswer)

    async def commit(self, drive_id: DriveId, request: CommitRequest) -> CommitAnswer:
        answer = await self._post(routes.of_drive(drive_id, "commits"), request, CommitAnswer)
        return _checked(answer, partial(answers.check_committed, request))

    async def aclose(self) -> None:
        await self._exchange.aclose()

    async def drop_connections(self) -> None:
        """Trust no connection that there is now: what is under way fails, or is tried again on a
        new one."""
        await self._exchange.aclose()

    async def _get(self, route: str, query: dict[str, str], kind: type[T]) -> T:
        return _from_msgpack(await self._exchange.call("GET", route, query=query), kind)

    async def _post(self, route: str, request: object, kind: type[T]) -> T:
        body = encode(request)
        answer = await self._exchange.call(
            "POST",
            route,
            body=body,
            body_kind=MSGPACK,
            deadline_s=CALL_DEADLINE_S + len(body) / SLOWEST_BYTES_PER_S,
        )
        return _from_msgpack(answer, kind)


class _Blocks:
    """Frames as blocks, as they arrive."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._frames = FrameReader()
        self._ready: list[tuple[bytes, bytes | memoryview]] = []

    def __aiter__(self) -> "_Blocks":
        return self

    async def __anext__(self) -> tuple[BlockHeader, bytes | memoryview]:
        with network_errors():
            while not self._ready:
                try:
                    piece = await anext(self._pieces)
                except StopAsyncIteration:
                    self._frames.finish()
                    raise
                self._ready = list(self._frames.feed(piece))
                self._ready.reverse()
            encoded, payload = self._ready.pop()
            header = decode(encoded, BlockHeader)
            answers.check_block_header(header)
            return header, payload


def _from_json(data: bytes, kind: type[T]) -> T:
    with network_errors():
        return msgspec.json.decode(data, type=kind)


def _from_msgpack(data: bytes, kind: type[T]) -> T:
    with network_errors():
        return decode(data, kind)


def _checked(answer: T, check: Callable[[T], None]) -> T:
    with network_errors():
        check(answer)
    return answer
