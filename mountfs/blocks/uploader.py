"""From dirty bytes to content that a commit can name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import trio

from backend_server.protocol.account_messages import DriveInfo
from backend_server.protocol.commit_messages import NewContent
from backend_server.protocol.identity import (
    UPLOAD_ID_BYTES,
    ChunkId,
    DriveId,
    NodeId,
    UploadId,
)
from backend_server.protocol.limits import FILE_SIZE_BYTES_MAX, INLINE_CONTENT_BYTES_MAX
from backend_server.protocol.manifests import EMPTY_MANIFEST, manifest_id_of
from backend_server.protocol.transfer_messages import UploadRequest
from mountfs.blocks.announcer import Announcer
from mountfs.blocks.builder import ContentBuilder
from mountfs.blocks.delta_choice import DeltaChoice
from mountfs.blocks.encoder import SendStats
from mountfs.blocks.inline_content import inline_content, read_whole
from mountfs.blocks.lost_chunks import LostChunks
from mountfs.blocks.manifests import ManifestCatalog
from mountfs.blocks.reader import ContentReader
from mountfs.blocks.store import ChunkStore
from mountfs.blocks.telling import growth_bytes, stretched_bytes, tell_entries
from mountfs.blocks.trust import IsKnown, Trust, TrustMemory
from mountfs.blocks.upload import BODY_BYTES, RETRY_BODY_BYTES, Upload
from mountfs.blocks.workers import Workers
from mountfs.core.content import ContentSource, DirtyContent, Manifest
from mountfs.core.delta import plan_delta
from mountfs.transport.api import DriveApi

LARGE_UPLOADS_MAX: Final = 2
"""Uploads with bodies of their own that run at once; each holds some 20 MiB."""
# Hashing and comparing more entries takes longer than going to a thread and back.
_INLINE_ENTRIES_MAX: Final = 2_000


class SentContent(NamedTuple):
    """Content that the server has, or gets with the commit that carries `new_content`.

    `inline` are the chunks that travel in the commit: `Uploader.keep` caches them.
    """

    drive_id: DriveId
    node_id: NodeId
    new_content: NewContent
    manifest: Manifest
    stats: SendStats
    inline: tuple[tuple[ChunkId, bytes], ...] = ()


class Uploader:
    """Sends frozen generations. Safe to call from many tasks; memory is bounded for all.

    Args:
        drives: Chunk key and chunker of each drive; may grow while this runs.
        random_bytes: `os.urandom`, or a seeded source.
        lost: What the server said that it lost, so that it is sent again where it is at hand.
    """

    def __init__(
        self,
        api: DriveApi,
        store: ChunkStore,
        reader: ContentReader,
        catalog: ManifestCatalog,
        drives: Mapping[DriveId, DriveInfo],
        workers: Workers,
        random_bytes: Callable[[int], bytes],
        lost: LostChunks | None = None,
    ) -> None:
        self._lost = lost
        self._api = api
        self._store = store
        self._reader = reader
        self._catalog = catalog
        self._drives = drives
        self._workers = workers
        self._random_bytes = random_bytes
        self._large = trio.CapacityLimiter(LARGE_UPLOADS_MAX)
        self._told = TrustMemory()

    def new_upload_id(self) -> UploadId:
        """Return an id that nobody has used."""
        return UploadId(self._random_bytes(UPLOAD_ID_BYTES))

    async def send(
        self,
        content: DirtyContent,
        *,
        similar: Sequence[ContentSource] = (),
        known: IsKnown | None = None,
        upload_id: UploadId | None = None,
        is_retry: bool = False,
        certain_only: bool = False,
    ) -> SentContent:
        """Send what the server lacks of `content`; return what a commit has to say of it.

        What was sent is durable on return, and changes nothing that anyone can see. Cancelling
        leaves at most blocks that the server reaps. Idempotent: after a lost connection, or when
        the commit says that something is missing, call it again.

        Args:
            similar: Content that this may be like, such as that of the file it replaces.
            known: Whether a chunk is thought to be in the drive.
            upload_id: None for a new one.
            is_retry: A try under this id failed. What the server has is asked for before anything
                is sent, and bodies begin small, so that less is lost if it happens again.
            certain_only: Trust nothing but the base. Also without it, sending the same content of
                a node a second time trusts nothing that the first time was trusted in vain.

        Raises:
            Offline, DeadlinePassed, ServerBusy, NotLoggedIn, QuotaExceeded, RequestRefused,
            Corruption: As `DriveApi` and `ContentReader`.
            LocalStorageError: As `content.read_dirty`.
        """
        if content.size_bytes == 0:
            empty = Manifest(EMPTY_MANIFEST, ())
            return SentContent(
                content.drive_id, content.node_id, NewContent(EMPTY_MANIFEST, 0), empty, SendStats()
            )
        trust = self._trust(content, similar, known, certain_only=certain_only)
        upload_id = upload_id or self.new_upload_id()
        sent = await self._send(content, similar, trust, upload_id, is_retry=is_retry)
        manifest_id = sent.manifest.manifest_id
        if not trust.relied:
            self._told.forget(content.drive_id, content.node_id)
            return sent
        if self._told.was_told(content.drive_id, content.node_id, manifest_id):
            trust = self._trust(content, similar, known, certain_only=True)
            return await self._send(content, similar, trust, upload_id, is_retry=is_retry)
        self._told.note(content.drive_id, content.node_id, manifest_id)
        return sent

    async def keep(self, sent: SentContent) -> None:
        """Keep on this device what was sent, for later reads."""
        self._catalog.note(sent.drive_id, sent.node_id, sent.manifest)
        for chunk_id, plaintext in sent.inline:
            self._store.remember(sent.drive_id, chunk_id, plaintext)
            await self._store.put(sent.drive_id, chunk_id, plaintext)

    def _trust(
        self,
        content: DirtyContent,
        similar: Sequence[ContentSource],
        known: IsKnown | None,
        *,
        certain_only: bool,
    ) -> Trust:
        return Trust(
            self._store,
            content.drive_id,
            content.base if content.is_base_kept else None,
            similar,
            known,
            certain_only=certain_only or not content.is_base_kept,
            lost=self._lost,
        )

    async def _send(
        self,
        content: DirtyContent,
        similar: Sequence[ContentSource],
        trust: Trust,
        upload_id: UploadId,
        *,
        is_retry: bool,
    ) -> SentContent:
        kept_base = _kept_base_of(content)
        choice = DeltaChoice(
            self._store,
            content.drive_id,
            kept_base.manifest if kept_base is not None else None,
            [source.manifest for source in similar],
            content.size_bytes,
        )
        if content.size_bytes > INLINE_CONTENT_BYTES_MAX:
            head = next((each for each in similar if each.node_id == content.node_id), kept_base)
            return await self._send_large(
                content, head, trust, choice, upload_id, is_retry=is_retry
            )
        stats = SendStats()
        told = inline_content(
            await read_whole(content, self._reader),
            chunk_key=self._drives[content.drive_id].chunk_key,
            trust=trust,
            choice=choice,
            stats=stats,
        )
        return SentContent(
            content.drive_id, content.node_id, told.new_content, told.manifest, stats, told.chunks
        )

    async def _send_large(
        self,
        content: DirtyContent,
        head: ContentSource | None,
        trust: Trust,
        choice: DeltaChoice,
        upload_id: UploadId,
        *,
        is_retry: bool,
    ) -> SentContent:
        """Send what does not fit into a commit. `head` is what it replaces, as far as known."""
        base = content.base.manifest if content.base is not None else None
        steps = plan_delta(
            base,
            base_visible_bytes=content.base_visible_bytes,
            dirty=content.dirty,
            size_bytes=content.size_bytes,
            is_base_kept=content.is_base_kept,
        )
        kept_base = _kept_base_of(content)
        request = UploadRequest(
            upload_id=upload_id,
            node_id=content.node_id,
            base_revision=kept_base.revision if kept_base is not None else 0,
            growth_bytes=max(growth_bytes(head and head.manifest, steps), 0),
            chunks=[],
            new_bytes_max=min(stretched_bytes(steps), FILE_SIZE_BYTES_MAX),
        )
        drive = self._drives[content.drive_id]
        upload = Upload(
            self._api,
            self._store,
            self._workers,
            ContentBuilder(content, steps, drive, self._reader, self._workers),
            Announcer(
                self._api,
                content.drive_id,
                request,
                waits=is_retry or not content.is_base_kept,
            ),
            choice,
            drive_id=content.drive_id,
            upload_id=upload_id,
            body_bytes=RETRY_BODY_BYTES if is_retry else BODY_BYTES,
            is_known=lambda ids: trust.known(ids, choice),
        )
        async with self._large:
            await upload.run()
        return await self._told_content(content, upload, trust, upload_id)

    async def _told_content(
        self, content: DirtyContent, upload: Upload, trust: Trust, upload_id: UploadId
    ) -> SentContent:
        entries = upload.entries
        is_long = len(entries) > _INLINE_ENTRIES_MAX
        manifest_id = (
            await self._workers.run(manifest_id_of, entries) if is_long else manifest_id_of(entries)
        )
        told = NewContent(
            manifest_id, content.size_bytes, upload_id=upload_id if upload.is_used else b""
        )
        manifest = Manifest(manifest_id, entries)
        sent = SentContent(content.drive_id, content.node_id, told, manifest, upload.stats)
        if trust.is_base(manifest_id):
            return sent
        known = [source.manifest for source in trust.sources]
        if not trust.certain_only and (
            any(each.manifest_id == manifest_id for each in known)
            or self._catalog.holds(content.drive_id, manifest_id)
        ):
            trust.relied = True
            return sent
        told = (
            await self._workers.run(tell_entries, told, entries, known)
            if is_long
            else tell_entries(told, entries, known)
        )
        trust.relied = trust.relied or (
            told.splice is not None and not trust.is_base(told.splice.base_manifest)
        )
        return sent._replace(new_content=told)


def _kept_base_of(content: DirtyContent) -> ContentSource | None:
    """Return the base if the server has it."""
    return content.base if content.is_base_kept else None
