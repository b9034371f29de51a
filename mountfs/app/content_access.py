"""What `vfs` and `sync` need of `blocks`: rooms that do not know each other meet here."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

import trio

from backend_server.protocol.identity import (
    ChunkId,
    DriveId,
    ManifestId,
    NodeId,
    RevisionId,
    UploadId,
)
from mountfs.app.transfer_counts import TransferCounts
from mountfs.blocks.manifests import ManifestCatalog
from mountfs.blocks.read_stream import ReadStream
from mountfs.blocks.reader import ContentReader
from mountfs.blocks.store import ChunkStore
from mountfs.blocks.uploader import SentContent, Uploader
from mountfs.blocks.workers import Workers
from mountfs.core.content import ContentSource, DirtyContent, committed_content
from mountfs.core.text_merge import merge_texts
from mountfs.errors import MountError, Unavailable
from mountfs.state.overlay import Source

_LOG = logging.getLogger(__name__)

PREFETCH_REQUESTS_MAX: Final = 8
"""Requests for a folder's small files that wait; further ones are dropped: they are a guess."""

Happened = Callable[[str, int], None]
"""Called with what happened ("uploaded") and the node it happened to."""


class HandleReader:
    """`vfs.content_io.CleanReader`: one a handle, so that it can read ahead."""

    __slots__ = ("_reader", "_stream")

    def __init__(self, reader: ContentReader) -> None:
        self._reader = reader
        self._stream: ReadStream | None = None

    async def read(self, source: ContentSource, offset: int, length: int) -> bytes | memoryview:
        stream = self._stream
        if stream is None:
            stream = self._stream = self._reader.open_stream(source)
        elif stream.source.revision != source.revision:
            stream.update_source(source)
        return await stream.read(offset, length)


class DriveContentAccess:
    """`vfs.file_system.ContentAccess`."""

    def __init__(self, reader: ContentReader, catalog: ManifestCatalog) -> None:
        self._reader = reader
        self._catalog = catalog

    @property
    def manifests(self) -> ManifestCatalog:
        return self._catalog

    def open_reader(self) -> HandleReader:
        return HandleReader(self._reader)


class DriveContentSender:
    """`sync.contents.ContentSender`; keeps count of what the delta engine saved."""

    def __init__(
        self,
        drive_id: DriveId,
        uploader: Uploader,
        store: ChunkStore,
        catalog: ManifestCatalog,
        counts: TransferCounts,
        *,
        happened: Happened,
    ) -> None:
        self._drive_id = drive_id
        self._uploader = uploader
        self._store = store
        self._held: dict[int, tuple[ChunkId, ...]] = {}
        """By node, what must not be evicted; each chunk is held once for each of its nodes."""
        self._catalog = catalog
        self._counts = counts
        self._happened = happened
        self.trouble: Unavailable | None = None
        """Why the last content could not be sent for now; None while one is being sent."""

    def new_upload_id(self) -> UploadId:
        return self._uploader.new_upload_id()

    async def send(
        self,
        content: DirtyContent,
        *,
        similar: list[ContentSource],
        upload_id: UploadId,
        is_retry: bool,
    ) -> SentContent:
        self.trouble = None
        try:
            sent = await self._uploader.send(
                content, similar=similar, upload_id=upload_id, is_retry=is_retry
            )
        except Unavailable as error:
            self.trouble = error
            raise
        # What is cached before the commit is refused is only bytes under their own name.
        await self._uploader.keep(sent)
        self._counts.sent(sent.stats)
        self._happened("uploaded", content.node_id)
        return sent

    async def source(self, source: Source) -> ContentSource:
        return await load_source(self._drive_id, self._catalog, source)

    async def hold(self, source: Source) -> bool:
        manifest = self._catalog.get(self._drive_id, ManifestId(source.manifest_id), source.entries)
        if manifest is None:
            return False
        chunk_ids = tuple(entry.chunk_id for entry in manifest.entries if not entry.is_hole)
        if not await self._store.hold(self._drive_id, chunk_ids):
            return False
        self.let_go(source.node_id)
        self._held[source.node_id] = chunk_ids
        return True

    def let_go(self, node_id: int) -> None:
        if (chunk_ids := self._held.pop(node_id, None)) is not None:
            self._store.release(self._drive_id, chunk_ids)


class DriveMergeWork:
    """`sync.merging.MergeWork`."""

    def __init__(
        self, drive_id: DriveId, reader: ContentReader, catalog: ManifestCatalog, workers: Workers
    ) -> None:
        self._drive_id = drive_id
        self._reader = reader
        self._catalog = catalog
        self._workers = workers

    async def read_whole(self, source: Source) -> bytes:
        content = await load_source(self._drive_id, self._catalog, source)
        return await self._reader.read(content, 0, source.size_bytes, whole=True)

    async def merge(self, base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
        return await self._workers.run(merge_texts, base, ours, theirs)


class SmallFilesPrefetch:
    """Brings small files into the cache together, behind what programs wait for."""

    def __init__(self, drive_id: DriveId, reader: ContentReader, catalog: ManifestCatalog) -> None:
        self._drive_id = drive_id
        self._reader = reader
        self._catalog = catalog
        self._send, self._receive = trio.open_memory_channel[Sequence[Source]](
            PREFETCH_REQUESTS_MAX
        )

    def request(self, sources: Sequence[Source]) -> None:
        """Ask for `sources`. Never blocks."""
        try:
            self._send.send_nowait(sources)
        except trio.WouldBlock:
            _LOG.debug("%d small files are not fetched ahead", len(sources))

    async def run(self) -> None:
        """Serve requests until cancelled."""
        async for sources in self._receive:
            try:
                loaded = [
                    await load_source(self._drive_id, self._catalog, source) for source in sources
                ]
                await self._reader.prefetch(loaded)
            except MountError as error:
                # Whoever really reads one of them will be told.
                _LOG.debug("fetching ahead failed: %s", error)


async def load_source(drive_id: DriveId, catalog: ManifestCatalog, source: Source) -> ContentSource:
    """Return `source` with its manifest, from memory, cache or network."""
    node_id, revision = NodeId(source.node_id), RevisionId(source.revision)
    manifest = await catalog.load(
        drive_id, node_id, revision, ManifestId(source.manifest_id), source.entries
    )
    return committed_content(drive_id, node_id, revision, manifest, size_bytes=source.size_bytes)
