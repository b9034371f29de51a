"""A server that lies about bytes: nobody is shown them, and asking again is bounded."""

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import httpx
import pytest
import trio
from trio.testing import MockClock

from backend_server.protocol.blocks import encode_block, encode_delta
from backend_server.protocol.encoding import encode
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.frames import encode_frame
from backend_server.protocol.identity import ChunkId, ManifestId, NodeId, RevisionId
from backend_server.protocol.limits import KIB, MIB
from backend_server.protocol.manifests import (
    ENTRY_BYTES,
    HOLE,
    Entry,
    Replacement,
    Splice,
    manifest_id_of,
    pack_entries,
)
from backend_server.protocol.transfer_messages import BlockHeader, FetchRequest, ManifestAnswer
from cache import MemoryCache
from fakes.drive_server import DRIVE, DRIVES, FakeServer
from hostile_requests import lying_bomb
from mountfs.blocks.room import Blocks
from mountfs.blocks.workers import InlineWorkers
from mountfs.core.content import ContentSource, Manifest, committed_content
from mountfs.errors import Corruption, MountError
from mountfs.transport.bodies import BytesBody
from mountfs.transport.client import ServerClient

NODE = 70_000
PARTS = [random.Random(n).randbytes(100 * KIB) for n in range(3)]
OTHER = random.Random(9).randbytes(100 * KIB)

Answer = tuple[BlockHeader, bytes]


@dataclass
class LyingServer(FakeServer):
    """Honest but for what `lie_of_block` and `lie_of_manifest` change."""

    lie_of_block: Callable[[Answer], Answer] | None = None
    lie_of_manifest: Callable[[ManifestAnswer], ManifestAnswer] | None = None

    def block_for(self, node_id: int, revision: int, chunk_id: bytes, have: bytes) -> Answer:
        answer = super().block_for(node_id, revision, chunk_id, have)
        return answer if self.lie_of_block is None else self.lie_of_block(answer)

    def _manifest_answer(
        self, node_id: int, revision: int, manifest_id: bytes, have: bytes
    ) -> ManifestAnswer:
        answer = super()._manifest_answer(node_id, revision, manifest_id, have)
        return answer if self.lie_of_manifest is None else self.lie_of_manifest(answer)


class Bench:
    def __init__(self) -> None:
        self.server = LyingServer()
        self.blocks = Blocks(
            self.server,
            MemoryCache(limit_bytes=1 << 30),
            DRIVES,
            workers=InlineWorkers(),
            cache_workers=InlineWorkers(),
        )
        self.source = self.server.make_file(NODE, PARTS)

    async def read(self) -> bytes:
        return await self.blocks.reader.read(self.source, 0, MIB)

    async def load(self, source: ContentSource) -> Manifest:
        return await self.blocks.catalog.load(
            DRIVE, NodeId(NODE), source.revision, source.manifest.manifest_id
        )


@pytest.fixture
async def bench(nursery: trio.Nursery) -> AsyncIterator[Bench]:
    made = Bench()
    nursery.start_soon(made.blocks.run)
    yield made
    nursery.cancel_scope.cancel()


BLOCK_LIES: dict[str, Callable[[Answer], Answer]] = {
    "another chunk's bytes": lambda said: (said[0], encode_block(OTHER)),
    "a chunk nobody asked for": lambda said: (BlockHeader(b"x" * 32), said[1]),
    "always the same chunk": lambda said: (BlockHeader(b"\0" * 32), encode_block(PARTS[0])),
    "no bytes": lambda said: (said[0], b""),
    "an empty chunk": lambda said: (said[0], encode_block(b"")),
    "cut off": lambda said: (said[0], said[1][:-1]),
    "too long": lambda said: (said[0], said[1] + b"x"),
    "a delta against nothing": lambda said: (said[0], encode_delta(PARTS[0], b"base")),
    "a delta against what nobody has": lambda said: (
        BlockHeader(said[0].chunk_id, base=b"y" * 32),
        encode_delta(PARTS[0], b"base"),
    ),
    "a bomb that says little": lambda said: (said[0], lying_bomb(declared=5)),
    "a bomb that says much": lambda said: (said[0], lying_bomb(declared=1 << 20)),
    "an error that is none": lambda said: (BlockHeader(said[0].chunk_id, error="\x1b[2J"), b""),
}


@pytest.mark.parametrize("lie", list(BLOCK_LIES))
async def test_lies_about_blocks_are_shown_to_nobody(
    autojump_clock: MockClock, bench: Bench, lie: str
) -> None:
    bench.server.lie_of_block = BLOCK_LIES[lie]
    with pytest.raises(Corruption):
        await bench.read()
    assert bench.server.counts.fetches <= 2 * len(PARTS)
    bench.server.lie_of_block = None
    assert await bench.read() == b"".join(PARTS)


@pytest.mark.parametrize("length", [1, 100 * KIB - 1, 100 * KIB + 1, 1 << 20])
@pytest.mark.parametrize("is_known", [False, True])
async def test_a_chunk_of_another_length_than_its_manifest_says(
    autojump_clock: MockClock, bench: Bench, length: int, is_known: bool
) -> None:
    if is_known:
        await bench.read()
    first, second, _ = bench.source.manifest.entries
    lie = bench.server.make_revision(NODE, [Entry(first.chunk_id, length), second])
    for read in (
        bench.blocks.reader.read(lie, 0, MIB),
        bench.blocks.reader.read_chunk(lie, 0),
        bench.blocks.reader.read_chunks(lie, [1, 0]),
    ):
        with pytest.raises(Corruption):
            await read
    assert await bench.read() == b"".join(PARTS)


def spliced(answer: ManifestAnswer, base: bytes, *replacements: Replacement) -> ManifestAnswer:
    return ManifestAnswer(answer.manifest_id, splice=Splice(base, replacements))


def manifest_lies(have: bytes) -> dict[str, Callable[[ManifestAnswer], ManifestAnswer]]:
    entry = pack_entries([Entry(ChunkId(b"c" * 32), 1)])
    return {
        "entries of another": lambda said: ManifestAnswer(said.manifest_id, entry),
        "no entries": lambda said: ManifestAnswer(said.manifest_id),
        "entries cut off": lambda said: ManifestAnswer(said.manifest_id, entry[:-1]),
        "entries of no length": lambda said: ManifestAnswer(said.manifest_id, bytes(ENTRY_BYTES)),
        "entries beyond 2**63": lambda said: ManifestAnswer(said.manifest_id, b"\xff" * 40),
        "holes without end": lambda said: ManifestAnswer(
            said.manifest_id, pack_entries([Entry(HOLE, 1 << 50)] * 5000)
        ),
        "a splice of what nobody has": lambda said: spliced(said, b"z" * 32),
        "a splice of what it was before": lambda said: spliced(said, have),
        "a splice behind the end": lambda said: spliced(said, have, Replacement(9, 0, entry)),
        "a splice before the start": lambda said: spliced(said, have, Replacement(-1, 0, entry)),
        "a splice that takes too much": lambda said: spliced(said, have, Replacement(0, 99, entry)),
        "a splice that takes less than nothing": lambda said: spliced(
            said, have, Replacement(2, -1, entry)
        ),
        "splices the wrong way round": lambda said: spliced(
            said, have, Replacement(2, 0, entry), Replacement(0, 0, entry)
        ),
        "another manifest": lambda said: ManifestAnswer(b"m" * 32, said.entries),
        "an error that is none": lambda said: ManifestAnswer(said.manifest_id, error="whatever"),
        "too large, always": lambda said: ManifestAnswer(
            said.manifest_id, error=ErrorCode.TOO_LARGE
        ),
    }  # fmt: skip


@pytest.mark.parametrize("lie", list(manifest_lies(b"")))
async def test_lies_about_manifests_are_bounded_and_believed_by_nobody(
    autojump_clock: MockClock, bench: Bench, lie: str
) -> None:
    await bench.load(bench.source)
    edited = [
        bench.server.make_revision(NODE, [*bench.source.manifest.entries, Entry(HOLE, n)])
        for n in range(1, 9)
    ]
    bench.server.lie_of_manifest = manifest_lies(bench.source.manifest.manifest_id)[lie]
    errors: list[MountError] = []

    async def load(source: ContentSource) -> None:
        with pytest.raises(MountError) as caught:
            await bench.load(source)
        errors.append(caught.value)

    async with trio.open_nursery() as nursery:
        for source in edited:
            nursery.start_soon(load, source)
    assert len(errors) == len(edited)
    assert bench.server.counts.manifest_fetches <= 1 + len(edited)
    bench.server.lie_of_manifest = None
    assert (await bench.load(edited[0])).entries == edited[0].manifest.entries


async def test_a_manifest_of_another_size_than_the_feed_says() -> None:
    entries = [Entry(ChunkId(b"c" * 32), 10)]
    manifest = Manifest(manifest_id_of(entries), entries)
    for size_bytes in (0, 9, 11):
        with pytest.raises(Corruption):
            committed_content(DRIVE, NodeId(1), RevisionId(1), manifest, size_bytes=size_bytes)
    source = committed_content(DRIVE, NodeId(1), RevisionId(1), manifest, size_bytes=10)
    assert source.manifest.manifest_id == ManifestId(manifest.manifest_id)


@pytest.mark.parametrize(
    "header",
    [BlockHeader(b""), BlockHeader(b"c" * 5000), BlockHeader(b"c" * 32, base=b"b" * 5000)],
)
async def test_an_id_that_no_cache_can_look_up(header: BlockHeader) -> None:
    class Server(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=BytesBody(encode_frame(encode(header), b"block")))

    client = ServerClient("http://server", "t", http_transport=Server())
    async with client.fetch_blocks(DRIVE, FetchRequest([])) as blocks:
        with pytest.raises(Corruption):
            await anext(blocks)
