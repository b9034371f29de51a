"""What `DriveApi` promises of content, over the fake and over HTTP with the whole server."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import httpx
import pytest
import trio
from sqlalchemy import Connection

from backend_server.blocks.memory import MemoryStore
from backend_server.config import ServerConfig
from backend_server.metadata.block_rows import mark_unstored
from backend_server.metadata.lost_rows import LostChunk, list_lost
from backend_server.protocol.account_messages import DriveInfo, SessionRequest
from backend_server.protocol.commit_messages import (
    CommitRequest,
    CreateNode,
    NewContent,
    Outcome,
    SetContent,
)
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import (
    DeviceId,
    DriveId,
    NodeId,
    RevisionId,
    UploadId,
    chunk_id_of,
)
from backend_server.protocol.limits import KIB, MIB
from backend_server.protocol.transfer_messages import (
    BlockHeader,
    ChunkLength,
    FetchGroup,
    FetchRequest,
    LostBlock,
    ManifestsRequest,
    ManifestWanted,
    UploadRequest,
    WantedChunk,
)
from backend_server.protocol.tree_messages import NodeKind, PollRequest
from cache import MemoryCache
from fakes.dirty_content import MemoryContent, overwritten, whole
from fakes.drive_server import DRIVE_INFO, FakeServer
from mountfs.blocks.bring_back import BringBack
from mountfs.blocks.encoder import encode_chunk
from mountfs.blocks.room import Blocks
from mountfs.blocks.workers import InlineWorkers
from mountfs.core.content import ContentSource
from mountfs.errors import (
    Corruption,
    CursorReset,
    DeviceRevoked,
    NotLoggedIn,
    RequestRefused,
    TokenInvalid,
    WrongPassword,
)
from mountfs.transport.api import DriveApi
from mountfs.transport.client import ServerClient
from server_kit import EMAIL, PASSWORD, UNREAD_BODY, World, config, open_world, prepared_config

__all__ = ["config", "prepared_config"]
pytestmark = UNREAD_BODY

NODE = NodeId(1 << 41)
UPLOAD = UploadId(b"u" * 16)


@dataclass
class Side:
    """One implementation, and a device's blocks over it."""

    api: DriveApi
    drive: DriveInfo
    numbers: int = 0
    blocks: Blocks = field(init=False)

    def __post_init__(self) -> None:
        self.drive_id = DriveId(self.drive.drive_id)
        self.blocks = self.device()

    def device(self) -> Blocks:
        return Blocks(self.api, MemoryCache(limit_bytes=1 << 30), {self.drive_id: self.drive})

    async def commit(
        self, node: NodeId, content: NewContent, base: ContentSource | None
    ) -> tuple[Outcome, int]:
        self.numbers += 1
        operation: CreateNode | SetContent
        if base is None:
            operation = CreateNode(
                self.numbers, 0, self.drive.root_node, b"file %d" % node, node, NodeKind.FILE,
                0o644, 0, 0, 1, 1, content=content,
            )  # fmt: skip
        else:
            operation = SetContent(self.numbers, 0, node, base.revision, content, 1, 1)
        answer = await self.api.commit(self.drive_id, CommitRequest(self.numbers - 1, [operation]))
        return answer.answers[0].outcome, answer.answers[0].sequence

    async def save(
        self, content: MemoryContent, *, similar: tuple[ContentSource, ...] = ()
    ) -> ContentSource:
        """Send and commit; another device must read exactly these bytes."""
        sent = await self.blocks.uploader.send(content, similar=similar)
        outcome, sequence = await self.commit(content.node_id, sent.new_content, content.base)
        assert outcome is Outcome.APPLIED
        await self.blocks.uploader.keep(sent)
        source = ContentSource(self.drive_id, content.node_id, RevisionId(sequence), sent.manifest)
        async with trio.open_nursery() as nursery:
            other = self.device()
            nursery.start_soon(other.run)
            manifest = await other.catalog.load(
                self.drive_id, source.node_id, source.revision, sent.manifest.manifest_id
            )
            assert manifest.entries == sent.manifest.entries
            assert await other.reader.read(source, 0, content.size_bytes + 1) == content.data
            nursery.cancel_scope.cancel()
        return source

    def content(self, data: bytes, node: NodeId = NODE) -> MemoryContent:
        made = whole(data, node_id=node)
        return MemoryContent(made.data, made.dirty, None, 0, node, self.drive_id)

    def edit(self, base: ContentSource, data: bytes, *ranges: tuple[int, int]) -> MemoryContent:
        made = overwritten(base, data, *ranges)
        return MemoryContent(
            made.data, made.dirty, base, made.base_visible_bytes, base.node_id, self.drive_id
        )


async def client_of(world: World) -> ServerClient:
    def over(token: str | None) -> ServerClient:
        carrier = httpx.ASGITransport(world.server.asgi, client=("127.0.0.1", 1))
        return ServerClient("http://server", token, http_transport=carrier)

    session = await over(None).log_in(SessionRequest(EMAIL, PASSWORD, "laptop"))
    return over(session.token)


@pytest.fixture
async def world(config: ServerConfig) -> AsyncIterator[World]:
    async with open_world(config, store=MemoryStore(), quota_bytes=1 << 40) as opened:
        yield opened


@pytest.fixture(params=["fake", "http"])
async def side(
    request: pytest.FixtureRequest, config: ServerConfig, nursery: trio.Nursery
) -> AsyncIterator[Side]:
    async with AsyncExitStack() as at_end:
        if request.param == "fake":
            made = Side(FakeServer(), DRIVE_INFO)
        else:
            world = await at_end.enter_async_context(
                open_world(config, store=MemoryStore(), quota_bytes=1 << 40)
            )
            client = await client_of(world)
            made = Side(client, (await client.account()).drives[0])
        nursery.start_soon(made.blocks.run)
        yield made
        nursery.cancel_scope.cancel()


def random_bytes(length: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(length)


@pytest.mark.parametrize("size", [0, 1, 511, 8 * KIB, 64 * KIB, 64 * KIB + 1, 3 * MIB])
async def test_any_size_arrives(side: Side, size: int) -> None:
    await side.save(side.content(random_bytes(size)))


async def test_text_arrives(side: Side) -> None:
    await side.save(side.content(b"one line of many, " * 100_000))


async def test_edits_arrive(side: Side) -> None:
    data = random_bytes(3 * MIB)
    base = await side.save(side.content(data))
    edited = data[:MIB] + random_bytes(KIB, 1) + data[MIB + KIB :]
    base = await side.save(side.edit(base, edited, (MIB, MIB + KIB)))
    grown = edited + random_bytes(100 * KIB, 2)
    base = await side.save(side.edit(base, grown, (len(edited), len(grown))))
    cut = grown[: MIB + 5]
    base = await side.save(side.edit(base, cut))
    await side.save(side.edit(base, cut + bytes(5 * MIB)))


async def test_a_small_edit_of_a_small_file_arrives(side: Side) -> None:
    data = random_bytes(40 * KIB)
    base = await side.save(side.content(data))
    await side.save(side.edit(base, data[:100] + b"edit" + data[104:], (100, 104)))


async def test_an_insertion_arrives(side: Side) -> None:
    data = random_bytes(6 * MIB)
    old = await side.save(side.content(data))
    inserted = data[:5000] + random_bytes(KIB, 5) + data[5000:]
    await side.save(side.content(inserted, NodeId(NODE + 1)), similar=(old,))


async def test_a_copy_arrives(side: Side) -> None:
    data = random_bytes(3 * MIB)
    await side.save(side.content(data))
    await side.save(side.content(data, NodeId(NODE + 1)))


async def test_content_that_nobody_sent_is_missing(side: Side) -> None:
    sent = await side.blocks.uploader.send(side.content(random_bytes(3 * MIB)))
    wrong = NewContent(b"m" * 32, 5)
    outcome, _ = await side.commit(NODE, wrong, None)
    assert outcome is Outcome.MISSING
    outcome, _ = await side.commit(NodeId(NODE + 1), sent.new_content, None)
    assert outcome is Outcome.APPLIED


async def test_announcing_tells_what_is_missing_again_and_again(side: Side) -> None:
    plaintexts = [random_bytes(100 * KIB, seed) for seed in range(3)]
    source = await side.save(side.content(plaintexts[0]))
    known = [ChunkLength(entry.chunk_id, entry.length) for entry in source.manifest.entries]
    request = UploadRequest(UPLOAD, NODE + 9, 0, 0, [*known, ChunkLength(b"x" * 32, 5)])
    for _ in range(2):
        answer = await side.api.announce(side.drive_id, request)
        assert answer.missing == [len(known)]


async def test_sending_a_block_again_is_free(side: Side) -> None:
    key = side.drive.chunk_key
    plaintext = random_bytes(100 * KIB)
    encoded = encode_chunk(chunk_id_of(plaintext, chunk_key=key), plaintext, None)
    for _ in range(2):
        answer = await side.api.send_blocks(
            side.drive_id, UPLOAD, [(encoded.header, encoded.block)]
        )
        assert answer.stored_count == 1


async def test_an_announced_upload_may_send_no_more_than_it_announced(side: Side) -> None:
    plaintext = random_bytes(100 * KIB)
    chunk_id = chunk_id_of(plaintext, chunk_key=side.drive.chunk_key)
    request = UploadRequest(UPLOAD, NODE, 0, 0, [ChunkLength(b"x" * 32, 10)])
    await side.api.announce(side.drive_id, request)
    encoded = encode_chunk(chunk_id, plaintext, None)
    with pytest.raises(RequestRefused):
        await side.api.send_blocks(side.drive_id, UPLOAD, [(encoded.header, encoded.block)])


async def test_a_block_that_is_not_its_id_is_refused(side: Side) -> None:
    encoded = encode_chunk(b"i" * 32, random_bytes(100), None)  # type: ignore[arg-type]
    with pytest.raises(Corruption):
        await side.api.send_blocks(side.drive_id, UPLOAD, [(BlockHeader(b"i" * 32), encoded.block)])


async def test_a_fetch_says_of_each_chunk_what_is_wrong(side: Side) -> None:
    source = await side.save(side.content(random_bytes(200 * KIB)))
    good = source.manifest.entries[0].chunk_id
    group = FetchGroup(source.node_id, source.revision, [WantedChunk(good), WantedChunk(b"x" * 32)])
    got: list[tuple[BlockHeader, bytes]] = []
    async with side.api.fetch_blocks(side.drive_id, FetchRequest([group])) as blocks:
        async for header, block in blocks:
            got.append((header, bytes(block)))
    assert [header.chunk_id for header, _ in got] == [good, b"x" * 32]
    assert [header.error for header, _ in got] == ["", "missing"]


async def test_nothing_is_lost_until_something_is(side: Side) -> None:
    await side.save(side.content(random_bytes(200 * KIB)))
    page = await side.api.lost_blocks(side.drive_id)
    assert (page.blocks, page.after) == ([], "")


async def test_an_unknown_revision_has_no_manifest(side: Side) -> None:
    request = ManifestsRequest([ManifestWanted(NODE, 999, b"m" * 32)])
    answer = await side.api.fetch_manifests(side.drive_id, request)
    assert answer.manifests[0].error == ErrorCode.MANIFEST_UNKNOWN


# Over HTTP only ------------------------------------------------------------------------------


async def test_wrong_passwords_and_tokens(world: World) -> None:
    carrier = httpx.ASGITransport(world.server.asgi, client=("127.0.0.1", 1))
    stranger = ServerClient("http://server", "no-token", http_transport=carrier)
    with pytest.raises(WrongPassword):
        await stranger.log_in(SessionRequest(EMAIL, "wrong", "laptop"))
    with pytest.raises(TokenInvalid):
        await stranger.account()
    nobody = ServerClient("http://server", None, http_transport=carrier)
    with pytest.raises(NotLoggedIn):
        await nobody.account()


async def test_a_revoked_device_is_told_so(world: World) -> None:
    client = await client_of(world)
    account = await client.account()
    assert [device.is_current for device in await client.devices()] == [True]
    await client.revoke_device(DeviceId(account.device_id))
    with pytest.raises(DeviceRevoked):
        await client.account()


async def test_feed_and_poll(world: World) -> None:
    client = await client_of(world)
    drive_id = DriveId((await client.account()).drives[0].drive_id)
    page = await client.snapshot_page(drive_id)
    assert not page.has_more
    again = await client.changes(drive_id, page.cursor)
    assert again.nodes == []
    with pytest.raises((CursorReset, RequestRefused)):
        await client.changes(drive_id, "no cursor of ours")
    side = Side(client, (await client.account()).drives[0])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(side.blocks.run)
        await side.save(side.content(b"hello"))
        nursery.cancel_scope.cancel()
    moved = await client.poll(PollRequest({drive_id: page.cursor}))
    assert moved.moved == [drive_id]
    assert len((await client.changes(drive_id, page.cursor)).nodes) >= 1


async def test_an_edit_costs_its_own_size_on_the_wire(world: World) -> None:
    """Announcement, blocks and commit, headers included."""
    client = await client_of(world)
    side = Side(client, (await client.account()).drives[0])
    data = random_bytes(8 * MIB)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(side.blocks.run)
        base = await side.save(side.content(data))
        at = 5 * MIB + 77
        edited = data[:at] + random_bytes(KIB, 3) + data[at + KIB :]
        before = client.traffic.up_bytes
        sent = await side.blocks.uploader.send(side.edit(base, edited, (at, at + KIB)))
        await side.commit(NODE, sent.new_content, base)
        assert client.traffic.up_bytes - before <= 4000
        inserted = data[:5000] + random_bytes(KIB, 5) + data[5000:]
        before = client.traffic.up_bytes
        sent = await side.blocks.uploader.send(
            side.content(inserted, NodeId(NODE + 1)), similar=(base,)
        )
        await side.commit(NodeId(NODE + 1), sent.new_content, None)
        assert client.traffic.up_bytes - before <= 100_000
        before = client.traffic.up_bytes
        copied = await side.blocks.uploader.send(side.content(data, NodeId(NODE + 2)))
        await side.commit(NodeId(NODE + 2), copied.new_content, None)
        assert client.traffic.up_bytes - before <= 1000
        nursery.cancel_scope.cancel()


async def test_lost_blocks_are_told_and_taken_back(world: World) -> None:
    client = await client_of(world)
    side = Side(client, (await client.account()).drives[0])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(side.blocks.run)
        source = await side.save(side.content(random_bytes(3 * MIB)))
        lost = [
            LostChunk(entry.chunk_id, entry.length, source.node_id, source.revision)
            for entry in source.manifest.entries
        ]

        def lose(connection: Connection) -> None:
            mark_unstored(connection, side.drive_id, [chunk.chunk_id for chunk in lost])
            list_lost(connection, side.drive_id, lost, now_ms=0)

        await world.server.database.write(lose)
        page = await client.lost_blocks(side.drive_id)
        assert sorted(page.blocks, key=lambda block: block.chunk_id) == sorted(
            (LostBlock(source.node_id, source.revision, each.chunk_id, each.length)
             for each in lost),
            key=lambda block: block.chunk_id,
        )  # fmt: skip
        bring_back = BringBack(
            client,
            side.blocks.store,
            InlineWorkers(),
            side.drive,
            side.blocks.lost,
            new_upload_id=side.blocks.uploader.new_upload_id,
        )
        bring_back.try_again()
        nursery.start_soon(bring_back.run)
        with trio.fail_after(30):
            while (await client.lost_blocks(side.drive_id)).blocks:
                await trio.lowlevel.checkpoint()
        await side.save(side.content(source_bytes := random_bytes(3 * MIB), NodeId(NODE + 1)))
        assert len(source_bytes) == source.manifest.size_bytes
        nursery.cancel_scope.cancel()


async def test_an_unknown_drive_is_refused(world: World) -> None:
    client = await client_of(world)
    with pytest.raises(RequestRefused):
        await client.snapshot_page(DriveId("0" * 16))
