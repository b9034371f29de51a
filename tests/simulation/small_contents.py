"""Contents of one chunk each, sent and read: enough for what devices of a simulation write."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio
import trio.testing

from backend_server.protocol.account_messages import DriveInfo
from backend_server.protocol.blocks import Block, decode_block, encode_block
from backend_server.protocol.commit_messages import InlineBlock, NewContent
from backend_server.protocol.identity import (
    UPLOAD_ID_BYTES,
    ChunkId,
    DriveId,
    ManifestId,
    NodeId,
    RevisionId,
    UploadId,
    chunk_id_of,
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
from mountfs.core.content import ContentSource, DirtyContent, Manifest
from mountfs.core.text_merge import merge_texts
from mountfs.errors import Corruption, Offline
from mountfs.state.overlay import Source
from mountfs.transport.client import ServerClient


@dataclass(frozen=True)
class SmallSent:
    new_content: NewContent
    manifest: Manifest


class SmallContents:
    """Sends and reads contents of one chunk: enough for what these tests write."""

    def __init__(
        self, client: ServerClient, drive: DriveInfo, cached: dict[bytes, bytes], uploads: int
    ) -> None:
        """`uploads`: where the ids of uploads begin."""
        self._client = client
        self._drive = drive
        self._plain = cached
        self._held: dict[int, list[ChunkId]] = {}
        self._uploads_count = uploads
        self.is_announcing = False
        """Contents go by announced uploads, which have a lease, and not inside the commit."""
        self.merges_count = 0
        self.during_merge: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
        """Something else goes on while a merge is made."""
        self.during_send: Callable[[DirtyContent], Awaitable[None]] = _nothing
        """Something else goes on while a content is sent."""
        self.is_unreadable = False
        """What is to be merged is not to be had, and never will be."""
        self.failures_left = 0
        """So many sends from now on find nobody."""
        self.tries: list[tuple[int, UploadId, bool]] = []
        """(node, upload id, is it a retry) of each send."""

    @property
    def manifests(self) -> "SmallContents":
        return self

    def open_reader(self) -> "SmallContents":
        return self

    async def load(
        self, drive_id: str, node_id: int, revision: int, manifest_id: bytes, embedded: bytes
    ) -> Manifest:
        from backend_server.protocol.manifests import unpack_entries
        from backend_server.protocol.transfer_messages import ManifestsRequest, ManifestWanted

        if not embedded and manifest_id:
            answer = await self._client.fetch_manifests(
                DriveId(drive_id),
                ManifestsRequest([ManifestWanted(node_id, revision, manifest_id)]),
            )
            embedded = answer.manifests[0].entries
        return Manifest(ManifestId(manifest_id), unpack_entries(embedded))

    async def source(self, source: Source) -> ContentSource:
        manifest = await self.load(
            self._drive.drive_id, source.node_id, source.revision, source.manifest_id,
            source.entries,
        )  # fmt: skip
        return ContentSource(
            DriveId(self._drive.drive_id),
            NodeId(source.node_id),
            RevisionId(source.revision),
            manifest,
        )

    async def hold(self, source: Source) -> bool:
        from backend_server.protocol.manifests import unpack_entries

        chunk_ids = [entry.chunk_id for entry in unpack_entries(source.entries)]
        if not chunk_ids or not self._plain.keys() >= set(chunk_ids):
            return False
        self._held[source.node_id] = chunk_ids
        return True

    def let_go(self, node_id: int) -> None:
        self._held.pop(node_id, None)

    async def read(self, source: ContentSource, offset: int, length: int) -> bytes:
        data = b""
        for entry in source.manifest.entries:
            if entry.chunk_id not in self._plain:
                group = FetchGroup(source.node_id, source.revision, [WantedChunk(entry.chunk_id)])
                async with self._client.fetch_blocks(
                    source.drive_id, FetchRequest([group])
                ) as blocks:
                    async for header, block in blocks:
                        if header.error:
                            raise Corruption(header.error)
                        self._plain[header.chunk_id] = decode_block(block)
            data += self._plain[entry.chunk_id]
        return data[offset : offset + length]

    async def read_whole(self, source: Source) -> bytes:
        if self.is_unreadable:
            raise Corruption("as the test wants it")
        return await self.read(await self.source(source), 0, source.size_bytes)

    async def merge(self, base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
        self.merges_count += 1
        await self.during_merge()
        return merge_texts(base, ours, theirs)

    def evict(self) -> None:
        """Forget what can be fetched again."""
        held = {chunk_id for chunk_ids in self._held.values() for chunk_id in chunk_ids}
        for chunk_id in self._plain.keys() - held:
            del self._plain[chunk_id]

    def new_upload_id(self) -> UploadId:
        self._uploads_count += 1
        return UploadId(self._uploads_count.to_bytes(UPLOAD_ID_BYTES))

    async def send(
        self,
        content: DirtyContent,
        *,
        similar: list[ContentSource],
        upload_id: UploadId,
        is_retry: bool,
    ) -> SmallSent:
        self.tries.append((content.node_id, upload_id, is_retry))
        await self.during_send(content)
        if self.failures_left:
            self.failures_left -= 1
            raise Offline("as the test wants it")
        visible = content.base_visible_bytes
        base = await self.read(content.base, 0, visible) if content.base and visible else b""
        data = bytearray(base.ljust(content.size_bytes, b"\0")[: content.size_bytes])
        for start, end in content.dirty:
            data[start:end] = content.read_dirty(start, end - start)
        plain = bytes(data)
        if not plain:
            return SmallSent(NewContent(b"", 0), Manifest(ManifestId(b""), []))
        chunk_id = chunk_id_of(plain, chunk_key=self._drive.chunk_key)
        self._plain[chunk_id] = plain
        entries = [Entry(chunk_id, len(plain))]
        manifest_id = manifest_id_of(entries)
        manifest, packed = Manifest(manifest_id, entries), pack_entries(entries)
        if self.is_announcing:
            await self._upload(content, upload_id, chunk_id, plain)
            new = NewContent(manifest_id, len(plain), packed, upload_id=upload_id)
        else:
            inline = [InlineBlock(chunk_id, encode_block(plain))]
            new = NewContent(manifest_id, len(plain), packed, None, inline)
        return SmallSent(new, manifest)

    async def _upload(
        self, content: DirtyContent, upload_id: UploadId, chunk_id: ChunkId, plain: bytes
    ) -> None:
        chunks = [ChunkLength(chunk_id, len(plain))]
        base, base_bytes = 0, 0
        if content.base is not None:
            base, base_bytes = content.base.revision, content.base.manifest.size_bytes
        drive_id = DriveId(self._drive.drive_id)
        await self._client.announce(
            drive_id,
            UploadRequest(
                upload_id, content.node_id, base, max(len(plain) - base_bytes, 0), chunks
            ),
        )
        block = Block(b"", encode_block(plain))
        await self._client.send_blocks(drive_id, upload_id, [(BlockHeader(chunk_id), block)])


async def _nothing(content: DirtyContent) -> None:
    pass
