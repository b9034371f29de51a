"""A server in memory: `DriveApi` as far as content is concerned, with counters and faults.

Keeps the promises that `mountfs.blocks` relies on: blocks are verified and idempotent, an
announcement tells what is missing, a fetch answers with a delta when the caller has a base, and a
commit takes only content whose chunks are there. Trees and feeds are not its matter.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from backend_server.protocol.account_messages import AccountAnswer, DeviceInfo, DriveInfo
from backend_server.protocol.blocks import (
    Block,
    decode_block,
    encode_block,
    encode_delta,
    plaintext_length,
)
from backend_server.protocol.chunking import ChunkerParameters
from backend_server.protocol.commit_messages import (
    CommitAnswer,
    CommitRequest,
    CreateNode,
    NewContent,
    OperationAnswer,
    Outcome,
    SetContent,
)
from backend_server.protocol.encoding import encode
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import (
    ChunkId,
    DeviceId,
    DriveId,
    ManifestId,
    NodeId,
    RevisionId,
    UploadId,
    chunk_id_of,
)
from backend_server.protocol.manifests import (
    Entry,
    Splice,
    apply_splice,
    manifest_id_of,
    pack_entries,
    plan_splice,
    size_of,
    unpack_entries,
)
from backend_server.protocol.transfer_messages import (
    BlockHeader,
    BlocksAnswer,
    FetchRequest,
    LostBlock,
    LostBlocksPage,
    ManifestAnswer,
    ManifestsAnswer,
    ManifestsRequest,
    UploadAnswer,
    UploadRequest,
)
from backend_server.protocol.tree_messages import ChangesPage, PollAnswer, PollRequest, QuotaState
from mountfs.core.content import ContentSource, Manifest
from mountfs.errors import Corruption, Offline, RequestRefused

DRIVE = DriveId("00000000000000aa")
CHUNK_KEY = bytes(range(32))
DRIVE_INFO = DriveInfo(DRIVE, "home", 1, "epoch", CHUNK_KEY, ChunkerParameters())
DRIVES = {DRIVE: DRIVE_INFO}


@dataclass
class Counts:
    """What the calls carried; bytes are those of bodies, without compression of messages."""

    announcements: int = 0
    bodies: int = 0
    fetches: int = 0
    manifest_fetches: int = 0
    blocks_up: int = 0
    blocks_down: int = 0
    deltas_down: int = 0
    up_bytes: int = 0
    down_bytes: int = 0


@dataclass
class FakeServer:
    """`before_call` may wait, raise, or change things; it is told the name of the call."""

    counts: Counts = field(default_factory=Counts)
    chunks: dict[ChunkId, bytes] = field(default_factory=dict)
    manifests: dict[ManifestId, list[Entry]] = field(default_factory=dict)
    revisions: dict[tuple[int, int], ManifestId] = field(default_factory=dict)
    announced: dict[bytes, set[bytes]] = field(default_factory=dict)
    unnamed_bytes: dict[bytes, int] = field(default_factory=dict)
    broken: dict[ChunkId, int] = field(default_factory=dict)
    """Chunks that are sent with a flipped bit so many times."""
    lost: dict[ChunkId, tuple[int, int, int]] = field(default_factory=dict)
    """Node, revision and length of each chunk that is lost."""
    lost_page_max: int = 1000
    sequence: int = 0
    before_call: Callable[[str], "trio.Event | None"] | None = None
    cut_after_blocks: int | None = None
    """The next streams of blocks break behind so many blocks."""

    async def _enter(self, call: str) -> None:
        await trio.lowlevel.checkpoint()
        if self.before_call is not None:
            gate = self.before_call(call)
            if gate is not None:
                await gate.wait()

    # Set-up by tests ---------------------------------------------------------------------------

    def make_file(self, node_id: int, plaintexts: Sequence[bytes]) -> ContentSource:
        """Put a file of these chunks on the server."""
        entries = []
        for plaintext in plaintexts:
            chunk_id = chunk_id_of(plaintext, chunk_key=CHUNK_KEY)
            self.chunks[chunk_id] = plaintext
            entries.append(Entry(chunk_id, len(plaintext)))
        return self.make_revision(node_id, entries)

    def make_revision(self, node_id: int, entries: Sequence[Entry]) -> ContentSource:
        """Give a node new content, whose chunks are there."""
        self.sequence += 1
        manifest_id = manifest_id_of(entries)
        self.manifests[manifest_id] = list(entries)
        self.revisions[node_id, self.sequence] = manifest_id
        return ContentSource(
            DRIVE, NodeId(node_id), RevisionId(self.sequence), Manifest(manifest_id, entries)
        )

    def content_of(self, manifest_id: ManifestId) -> bytes:
        """Return the bytes that a manifest stands for."""
        return b"".join(
            bytes(entry.length) if entry.is_hole else self.chunks[entry.chunk_id]
            for entry in self.manifests[manifest_id]
        )

    # Content -----------------------------------------------------------------------------------

    async def announce(self, drive_id: DriveId, request: UploadRequest) -> UploadAnswer:
        await self._enter("announce")
        self.counts.announcements += 1
        self.counts.up_bytes += len(encode(request))
        missing = [nth for nth, one in enumerate(request.chunks) if one.chunk_id not in self.chunks]
        unnamed_bytes = self.unnamed_bytes.get(request.upload_id, 0)
        self.unnamed_bytes[request.upload_id] = max(unnamed_bytes, request.new_bytes_max)
        named = self.announced.setdefault(request.upload_id, set())
        named.update(one.chunk_id for one in request.chunks)
        return UploadAnswer(missing, 3600.0)

    async def send_blocks(
        self, drive_id: DriveId, upload_id: UploadId, blocks: Sequence[tuple[BlockHeader, Block]]
    ) -> BlocksAnswer:
        await self._enter("send_blocks")
        self.counts.bodies += 1
        stored = 0
        named = self.announced.get(upload_id)
        for header, block in blocks:
            if named is not None and header.chunk_id not in named:
                self.unnamed_bytes[upload_id] -= plaintext_length(block.head)
                if self.unnamed_bytes[upload_id] < 0:
                    raise RequestRefused(ErrorCode.TOO_LARGE, "not announced")
            self.counts.blocks_up += 1
            self.counts.up_bytes += block.size_bytes + len(encode(header)) + 8
            self._take(header.chunk_id, block.joined(), header.base)
            stored += block.size_bytes
        return BlocksAnswer(len(blocks), stored)

    def _take(self, chunk_id: bytes, block: bytes, base: bytes) -> None:
        if base and base not in self.chunks:
            raise Corruption("the base of a delta is not stored")
        plaintext = decode_block(block, base=self.chunks[ChunkId(base)] if base else None)
        if chunk_id_of(plaintext, chunk_key=CHUNK_KEY) != chunk_id:
            raise Corruption("not what its id says")
        self.chunks[ChunkId(chunk_id)] = plaintext
        self.lost.pop(ChunkId(chunk_id), None)

    @asynccontextmanager
    async def fetch_blocks(
        self, drive_id: DriveId, request: FetchRequest
    ) -> AsyncIterator[AsyncIterator[tuple[BlockHeader, bytes]]]:
        await self._enter("fetch_blocks")
        self.counts.fetches += 1
        yield _Stream(self, request)

    def block_for(
        self, node_id: int, revision: int, chunk_id: bytes, have: bytes
    ) -> tuple[BlockHeader, bytes]:
        """Return what a fetch answers for one chunk."""
        manifest_id = self.revisions.get((node_id, revision))
        named = {entry.chunk_id for entry in self.manifests.get(manifest_id or ManifestId(b""), [])}
        if chunk_id not in named or chunk_id in self.lost:
            return BlockHeader(chunk_id, error="missing"), b""
        plaintext = self.chunks[ChunkId(chunk_id)]
        header, block = BlockHeader(chunk_id), encode_block(plaintext)
        if have:
            delta = encode_delta(plaintext, self.chunks[ChunkId(have)])
            if len(delta) < len(block):
                self.counts.deltas_down += 1
                header, block = BlockHeader(chunk_id, have), delta
        if self.broken.get(ChunkId(chunk_id), 0):
            self.broken[ChunkId(chunk_id)] -= 1
            block = block[:-1] + bytes([block[-1] ^ 1])
        self.counts.blocks_down += 1
        self.counts.down_bytes += len(block)
        return header, block

    async def lost_blocks(self, drive_id: DriveId, after: str = "") -> LostBlocksPage:
        await self._enter("lost_blocks")
        behind = sorted(each for each in self.lost if each > bytes.fromhex(after))
        page = behind[: self.lost_page_max]
        return LostBlocksPage(
            [
                LostBlock(*self.lost[chunk_id][:2], chunk_id, self.lost[chunk_id][2])
                for chunk_id in page
            ],
            page[-1].hex() if len(behind) > len(page) else "",
        )

    def lose(self, source: ContentSource, *indices: int) -> list[ChunkId]:
        """Lose the chunks of these entries, as a disk might, and know it."""
        gone = []
        for index in indices:
            entry = source.manifest.entries[index]
            self.lost[entry.chunk_id] = (source.node_id, source.revision, entry.length)
            del self.chunks[entry.chunk_id]
            gone.append(entry.chunk_id)
        return gone

    async def fetch_manifests(
        self, drive_id: DriveId, request: ManifestsRequest
    ) -> ManifestsAnswer:
        await self._enter("fetch_manifests")
        self.counts.manifest_fetches += 1
        return ManifestsAnswer([self._manifest_answer(*wanted) for wanted in _fields(request)])

    def _manifest_answer(
        self, node_id: int, revision: int, manifest_id: bytes, have: bytes
    ) -> ManifestAnswer:
        if self.revisions.get((node_id, revision)) != manifest_id:
            return ManifestAnswer(manifest_id, error=ErrorCode.MANIFEST_UNKNOWN)
        entries = self.manifests[ManifestId(manifest_id)]
        base = self.manifests.get(ManifestId(have))
        if base is not None:
            return ManifestAnswer(manifest_id, splice=Splice(have, plan_splice(base, entries)))
        return ManifestAnswer(manifest_id, entries=pack_entries(entries))

    async def commit(self, drive_id: DriveId, request: CommitRequest) -> CommitAnswer:
        await self._enter("commit")
        self.counts.up_bytes += len(encode(request))
        answers = []
        for operation in request.operations:
            assert isinstance(operation, CreateNode | SetContent)
            content = operation.content
            missing: list[bytes] | None = []
            if content is not None:
                missing = self._commit_content(operation.node_id, content)
            if missing == []:
                answers.append(OperationAnswer(operation.number, Outcome.APPLIED, self.sequence))
            else:
                answers.append(
                    OperationAnswer(operation.number, Outcome.MISSING, missing=missing or [])
                )
        return CommitAnswer(answers, QuotaState(1 << 40, 0, 0))

    def _commit_content(self, node_id: int, content: NewContent) -> list[bytes] | None:
        """Return the missing chunks; None when the manifest is not known."""
        for inline in content.inline:
            self._take(inline.chunk_id, inline.block, inline.base)
        if content.entries:
            entries = unpack_entries(content.entries)
        elif content.splice is not None:
            base = self.manifests.get(ManifestId(content.splice.base_manifest))
            if base is None:
                return None
            entries = apply_splice(base, content.splice.replacements)
        elif content.manifest_id == b"":
            entries = []
        else:
            known = self.manifests.get(ManifestId(content.manifest_id))
            if known is None:
                return None
            entries = known
        assert manifest_id_of(entries) == content.manifest_id
        assert size_of(entries) == content.size_bytes
        missing: list[bytes] = [
            entry.chunk_id
            for entry in entries
            if not entry.is_hole and entry.chunk_id not in self.chunks
        ]
        if not missing:
            self.make_revision(node_id, entries)
        return missing

    def commit_content(self, node_id: int, content: NewContent) -> ContentSource | None:
        """Commit one content, as a test does at once; None when something is missing."""
        if self._commit_content(node_id, content) != []:
            return None
        manifest_id = self.revisions[node_id, self.sequence]
        return ContentSource(
            DRIVE,
            NodeId(node_id),
            RevisionId(self.sequence),
            Manifest(manifest_id, self.manifests[manifest_id]),
        )

    # The rest ----------------------------------------------------------------------------------

    async def account(self) -> AccountAnswer:
        await self._enter("account")
        return AccountAnswer(1, "a@example.org", 1, "device", [DRIVE_INFO], 0)

    async def devices(self) -> list[DeviceInfo]:
        await self._enter("devices")
        return [DeviceInfo(1, "device", 0, 0, True)]

    async def revoke_device(self, device_id: DeviceId) -> None:
        await self._enter("revoke_device")

    async def snapshot_page(
        self, drive_id: DriveId, after: str | None = None, since: str | None = None
    ) -> ChangesPage:
        await self._enter("snapshot_page")
        return ChangesPage("", self.sequence, False, [], [], 0, QuotaState(1 << 40, 0, 0))

    async def changes(self, drive_id: DriveId, cursor: str) -> ChangesPage:
        await self._enter("changes")
        return ChangesPage("", self.sequence, False, [], [], 0, QuotaState(1 << 40, 0, 0))

    async def poll(self, request: PollRequest) -> PollAnswer:
        await self._enter("poll")
        return PollAnswer([])

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


class _Stream:
    def __init__(self, server: FakeServer, request: FetchRequest) -> None:
        self._server = server
        self._wanted = [
            (group.node_id, group.revision, wanted.chunk_id, wanted.have)
            for group in request.groups
            for wanted in group.chunks
        ]
        self._wanted.reverse()
        self._sent = 0

    def __aiter__(self) -> "_Stream":
        return self

    async def __anext__(self) -> tuple[BlockHeader, bytes]:
        await self._server._enter("block")
        if not self._wanted:
            raise StopAsyncIteration
        if self._sent == self._server.cut_after_blocks:
            self._server.cut_after_blocks = None
            raise Offline("cut")
        self._sent += 1
        return self._server.block_for(*self._wanted.pop())


def _fields(request: ManifestsRequest) -> list[tuple[int, int, bytes, bytes]]:
    return [(one.node_id, one.revision, one.manifest_id, one.have) for one in request.wanted]
