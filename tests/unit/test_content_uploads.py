"""What an upload sends, and what it does not."""

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
import trio
import trio.testing

from backend_server.protocol.blocks import Block
from backend_server.protocol.identity import DriveId, UploadId
from backend_server.protocol.limits import KIB, MIB
from backend_server.protocol.transfer_messages import BlockHeader, BlocksAnswer
from cache import MemoryCache
from fakes.dirty_content import MemoryContent, overwritten, whole
from fakes.drive_server import DRIVE, DRIVES, FakeServer
from mountfs.blocks.room import Blocks
from mountfs.blocks.upload import RETRY_BODY_BYTES
from mountfs.blocks.uploader import SentContent
from mountfs.core.content import ContentSource, DirtyRange
from mountfs.errors import Offline


def random_bytes(length: int, seed: int = 0) -> bytes:
    generator = random.Random(seed)
    return b"".join(
        generator.randbytes(min(64 * MIB, length - at)) for at in range(0, length, 64 * MIB)
    )


class Bench:
    """A client's blocks over a server in memory."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.blocks = self.device()

    def device(self) -> Blocks:
        return Blocks(
            self.server,
            MemoryCache(limit_bytes=1 << 30),
            DRIVES,
            random_bytes=random.Random(1).randbytes,
        )

    async def save(
        self, content: MemoryContent, similar: tuple[ContentSource, ...] = ()
    ) -> tuple[SentContent, ContentSource]:
        """Send and commit; check that the server has exactly these bytes."""
        sent = await self.blocks.uploader.send(content, similar=similar)
        self.server.counts.up_bytes += 300
        committed = self.server.commit_content(content.node_id, sent.new_content)
        assert committed is not None
        await self.blocks.uploader.keep(sent)
        assert self.server.content_of(committed.manifest.manifest_id) == content.data
        return sent, committed

    def forget_counts(self) -> None:
        self.server.counts = type(self.server.counts)()


@pytest.fixture
async def bench(nursery: trio.Nursery) -> AsyncIterator[Bench]:
    made = Bench()
    nursery.start_soon(made.blocks.run)
    yield made
    nursery.cancel_scope.cancel()


async def test_a_small_new_file_travels_in_the_commit(bench: Bench) -> None:
    sent, _ = await bench.save(whole(b"hello" * 1000))
    assert len(sent.new_content.inline) == 1
    assert bench.server.counts.bodies == 0


async def test_empty_content_is_the_empty_manifest(bench: Bench) -> None:
    sent, _ = await bench.save(whole(b""))
    assert sent.new_content.manifest_id == b""


async def test_a_small_edit_of_a_small_file_travels_as_a_delta(bench: Bench) -> None:
    data = random_bytes(40 * KIB)
    _, base = await bench.save(whole(data))
    edited = data[:1000] + b"edit" + data[1004:]
    sent, _ = await bench.save(overwritten(base, edited, (1000, 1004)))
    assert len(sent.new_content.inline[0].block) < 200
    assert sent.new_content.inline[0].base == base.manifest.entries[0].chunk_id


async def test_a_large_new_file_is_sent_once(bench: Bench) -> None:
    data = random_bytes(9 * MIB)
    sent, _ = await bench.save(whole(data))
    assert len(data) <= bench.server.counts.up_bytes <= len(data) * 1.01
    assert sent.stats.known_bytes == 0


async def test_a_kilobyte_overwritten_in_a_large_file_sends_at_most_4_kb(bench: Bench) -> None:
    parts = [number.to_bytes(4, "big") * (64 * KIB) for number in range(1024)]
    parts[400] = random_bytes(256 * KIB)
    base = bench.server.make_file(70_000, parts)
    data = b"".join(parts)
    at = 400 * 256 * KIB + 77
    edited = data[:at] + random_bytes(KIB, 9) + data[at + KIB :]
    sent, after = await bench.save(overwritten(base, edited, (at, at + KIB)))
    assert bench.server.counts.up_bytes <= 4000
    assert bench.server.counts.blocks_down == 1
    assert len(after.manifest.entries) == len(base.manifest.entries)
    assert sent.new_content.splice is not None


async def test_nothing_is_sent_before_it_may_be(bench: Bench) -> None:
    """Before the first announcement is answered, only what it names leaves."""
    content = whole(random_bytes(30 * MIB))
    gate = trio.Event()
    bench.server.before_call = lambda call: gate if call == "announce" else None
    bodies: list[set[bytes]] = []
    send_blocks = bench.server.send_blocks

    async def watched(
        drive_id: DriveId, upload_id: UploadId, blocks: Sequence[tuple[BlockHeader, Block]]
    ) -> BlocksAnswer:
        bodies.append({header.chunk_id for header, _ in blocks})
        return await send_blocks(drive_id, upload_id, blocks)

    bench.server.send_blocks = watched  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.blocks.uploader.send, content)
        while not bodies:
            await trio.testing.wait_all_tasks_blocked(0.02)
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert len(bodies) == 1
        gate.set()
    (named,) = bench.server.announced.values()
    assert bodies[0] <= named
    assert bench.server.chunks.keys() == set().union(*bodies)


async def test_a_kilobyte_inserted_by_rewriting_sends_at_most_100_kb(bench: Bench) -> None:
    data = random_bytes(64 * MIB)
    _, old = await bench.save(whole(data, node_id=80_000))
    bench.forget_counts()
    edited = data[:5000] + random_bytes(KIB, 9) + data[5000:]
    sent, _ = await bench.save(whole(edited), similar=(old,))
    assert bench.server.counts.up_bytes <= 100_000
    assert sent.new_content.splice is not None
    assert sent.new_content.splice.base_manifest == old.manifest.manifest_id


async def test_a_kilobyte_appended_sends_little(bench: Bench) -> None:
    data = random_bytes(10 * MIB)
    _, base = await bench.save(whole(data))
    bench.forget_counts()
    await bench.save(overwritten(base, data + random_bytes(KIB, 3), (len(data), len(data) + KIB)))
    assert bench.server.counts.up_bytes <= 4000


async def test_a_growing_log_does_not_end_as_tiny_chunks(bench: Bench) -> None:
    data = random_bytes(70 * KIB)
    _, base = await bench.save(whole(data))
    for nth in range(200):
        grown = data + random_bytes(KIB, nth)
        _, base = await bench.save(overwritten(base, grown, (len(data), len(grown))))
        data = grown
    assert len(base.manifest.entries) <= 2 + len(data) // (64 * KIB)


async def test_the_same_content_saved_again_sends_nothing(bench: Bench) -> None:
    data = random_bytes(20 * MIB)
    _, base = await bench.save(whole(data))
    bench.forget_counts()
    sent, _ = await bench.save(whole(data, base=base))
    assert bench.server.counts.bodies == bench.server.counts.announcements == 0
    assert sent.new_content.entries == b""
    assert sent.new_content.splice is None


async def test_a_copy_under_another_name_sends_a_line(bench: Bench) -> None:
    data = random_bytes(20 * MIB)
    await bench.save(whole(data))
    bench.forget_counts()
    await bench.save(whole(data, node_id=80_000))
    assert bench.server.counts.up_bytes <= 1000


async def test_what_the_drive_has_is_not_sent_by_another_device(bench: Bench) -> None:
    data = random_bytes(40 * MIB)
    await bench.save(whole(data))
    bench.forget_counts()
    async with trio.open_nursery() as nursery:
        bench.blocks = bench.device()
        nursery.start_soon(bench.blocks.run)
        sent, _ = await bench.save(whole(data, node_id=80_000))
        nursery.cancel_scope.cancel()
    assert bench.server.counts.up_bytes < 8 * MIB
    assert sent.stats.known_bytes > 32 * MIB


async def test_what_a_commit_misses_is_sent_when_asked_again(bench: Bench) -> None:
    data = random_bytes(3 * MIB)
    await bench.save(whole(data))
    bench.server.chunks.clear()
    bench.server.manifests.clear()
    content = whole(data, node_id=80_000)
    sent = await bench.blocks.uploader.send(content)
    assert bench.server.commit_content(80_000, sent.new_content) is None
    sent = await bench.blocks.uploader.send(content, certain_only=True)
    assert bench.server.commit_content(80_000, sent.new_content) is not None


@pytest.mark.parametrize("size", [8 * KIB, 3 * MIB])
async def test_what_was_trusted_in_vain_is_not_trusted_again(bench: Bench, size: int) -> None:
    """A caller that knows nothing of trust just sends again when the commit misses something."""
    content = whole(random_bytes(size), node_id=80_000)
    # Kept, but never committed: the upload is reaped, and the cache is wrong about the drive.
    await bench.blocks.uploader.keep(await bench.blocks.uploader.send(content))
    bench.server.chunks.clear()
    misses = 0
    while True:
        sent = await bench.blocks.uploader.send(content)
        await bench.blocks.uploader.keep(sent)
        if bench.server.commit_content(80_000, sent.new_content) is not None:
            break
        misses += 1
    assert misses == 1


async def test_a_base_that_the_server_lost_is_not_needed(bench: Bench) -> None:
    data = random_bytes(3 * MIB)
    _, base = await bench.save(whole(data))
    entry = base.manifest.entries[base.manifest.index_at(MIB)]
    del bench.server.chunks[entry.chunk_id]
    edited = data[:MIB] + b"edit" + data[MIB + 4 :]
    await bench.save(overwritten(base, edited, (MIB, MIB + 4)))


@pytest.mark.parametrize("size", [8 * KIB, 3 * MIB])
async def test_a_base_of_a_lost_past_is_sent_whole(bench: Bench, size: int) -> None:
    """The server came back from a backup: of what was committed since it has nothing."""
    backup = dict(bench.server.chunks), dict(bench.server.manifests)
    data = random_bytes(size)
    _, base = await bench.save(whole(data))
    bench.server.chunks, bench.server.manifests = backup
    unchanged = replace(overwritten(base, data), is_base_kept=False)
    sent, _ = await bench.save(unchanged)
    assert sent.manifest.entries == base.manifest.entries
    bench.server.chunks, bench.server.manifests = backup
    edited = data[:1000] + b"edit" + data[1004:]
    await bench.save(replace(overwritten(base, edited, (1000, 1004)), is_base_kept=False))


async def test_holes_are_not_sent(bench: Bench) -> None:
    head, tail = random_bytes(KIB), random_bytes(KIB, 2)
    size = 4096 * MIB
    data = Sparse(size, {0: head, size - KIB: tail})
    content = SparseContent(data)
    sent = await bench.blocks.uploader.send(content)
    assert sent.manifest.size_bytes == size
    assert bench.server.counts.up_bytes < 4000
    assert [entry.is_hole for entry in sent.manifest.entries] == [False, True, False]


class Sparse:
    def __init__(self, size: int, runs: dict[int, bytes]) -> None:
        self.size = size
        self.runs = runs


class SparseContent:
    """A huge file with a few dirty runs."""

    def __init__(self, sparse: Sparse) -> None:
        self._sparse = sparse
        self.drive_id = DRIVE
        self.node_id = whole(b"x").node_id
        self.size_bytes = sparse.size
        self.base: ContentSource | None = None
        self.base_visible_bytes = 0
        self.is_base_kept = True
        self.dirty = [DirtyRange(at, at + len(run)) for at, run in sorted(sparse.runs.items())]

    def read_dirty(self, start: int, length: int) -> bytes:
        for at, run in self._sparse.runs.items():
            if at <= start < at + len(run):
                return run[start - at : start - at + length]
        raise AssertionError("not dirty")


async def test_a_retry_asks_first_and_begins_with_small_bodies(bench: Bench) -> None:
    content = whole(random_bytes(40 * MIB))
    sizes: list[int] = []
    send_blocks = bench.server.send_blocks

    async def watched(
        drive_id: DriveId, upload_id: UploadId, blocks: Sequence[tuple[BlockHeader, Block]]
    ) -> BlocksAnswer:
        sizes.append(sum(block.size_bytes for _, block in blocks))
        if len(sizes) == 4:
            raise Offline("cut")
        return await send_blocks(drive_id, upload_id, blocks)

    bench.server.send_blocks = watched  # type: ignore[method-assign]
    upload_id = bench.blocks.uploader.new_upload_id()
    with pytest.raises(Offline):
        await bench.blocks.uploader.send(content, upload_id=upload_id)
    arrived = sum(map(len, bench.server.chunks.values()))
    assert arrived
    del sizes[:]
    sizes.extend([0] * 4)
    await bench.blocks.uploader.send(content, upload_id=upload_id, is_retry=True)
    assert sum(sizes) <= len(content.data) - arrived + 1000 * len(sizes)
    assert max(sizes[4:6]) <= RETRY_BODY_BYTES + 2 * MIB < max(sizes)
