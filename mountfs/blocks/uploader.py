"""From dirty bytes to content that a commit can name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import trio

from backend_server.protocol.identity import (
    UPLOAD_ID_BYTES,
    ChunkId,
    DriveId,
    NodeId,
    UploadId,
    chunk_id_of,
)
from backend_server.protocol.limits import INLINE_CONTENT_BYTES_MAX
from backend_server.protocol.manifests import (
    EMPTY_MANIFEST,
    ENTRY_BYTES,
    HOLE,
    Entry,
    Splice,
    manifest_id_of,
    pack_entries,
    plan_splice,
)
from backend_server.protocol.messages import DriveInfo, InlineBlock, NewContent, UploadRequest
from mountfs.blocks.announcer import Announcer
from mountfs.blocks.builder import ContentBuilder
from mountfs.blocks.delta_choice import DeltaChoice
from mountfs.blocks.encoder import SendStats, encode_chunk
from mountfs.blocks.manifests import ManifestCatalog
from mountfs.blocks.reader import ContentReader
from mountfs.blocks.store import ChunkStore
from mountfs.blocks.upload import Upload
from mountfs.blocks.workers import Workers
from mountfs.core.content import ContentSource, DirtyContent, Manifest
from mountfs.core.delta import Keep, Step, Stretch, plan_delta
from mountfs.transport.api import DriveApi

LARGE_UPLOADS_MAX: Final = 2
"""Uploads with bodies of their own that run at once; each holds some 20 MiB."""
# Below this, sending the bytes costs less than a commit that was wrong about a known chunk.
_KNOWN_BYTES_MIN: Final = 512
_REPLACEMENT_BYTES: Final = 8
_INLINE_ENTRIES_MAX: Final = 2_000

IsKnown = Callable[[ChunkId], bool]


class SentContent(NamedTuple):
    """Content that the server has, or gets with the commit that carries `new_content`.

    `inline` are the chunks that travel in the commit: `Uploader.keep` caches them afterwards.
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
    ) -> None:
        self._api = api
        self._store = store
        self._reader = reader
        self._catalog = catalog
        self._drives = drives
        self._workers = workers
        self._random_bytes = random_bytes
        self._large = trio.CapacityLimiter(LARGE_UPLOADS_MAX)

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
        certain_only: bool = False,
    ) -> SentContent:
        """Send what the server lacks of `content`; return what a commit has to say of it.

        What was sent is durable on return, and changes nothing that anyone can see. Cancelling
        leaves at most blocks that the server reaps. Idempotent by `upload_id`: after a lost
        connection call it again with the same, and only the rest is sent.

        Args:
            similar: Content that this may be like, such as that of the file it replaces.
            known: Whether a chunk is thought to be in the drive.
            upload_id: Of a try before this; None for the first.
            certain_only: Trust nothing but the base: the commit said that something is missing.

        Raises:
            Offline, DeadlinePassed, ServerBusy, NotLoggedIn, QuotaExceeded, RequestRefused,
            Corruption: As `DriveApi` and `ContentReader`.
        """
        if content.size_bytes == 0:
            empty = Manifest(EMPTY_MANIFEST, ())
            return SentContent(
                content.drive_id, content.node_id, NewContent(EMPTY_MANIFEST, 0), empty, SendStats()
            )
        if content.size_bytes <= INLINE_CONTENT_BYTES_MAX:
            return await self._send_inline(content, similar, known, certain_only)
        return await self._send_large(content, similar, known, upload_id, certain_only)

    async def keep(self, sent: SentContent) -> None:
        """Keep on this device what was sent; call it when the commit was applied."""
        self._catalog.note(sent.drive_id, sent.node_id, sent.manifest)
        for chunk_id, plaintext in sent.inline:
            self._store.remember(sent.drive_id, chunk_id, plaintext)
            await self._store.put(sent.drive_id, chunk_id, plaintext)

    async def _send_inline(
        self,
        content: DirtyContent,
        similar: Sequence[ContentSource],
        known: IsKnown | None,
        certain_only: bool,
    ) -> SentContent:
        drive = self._drives[content.drive_id]
        plaintext = await self._whole(content)
        stats = SendStats(new_bytes=len(plaintext))
        if plaintext.count(0) == len(plaintext):
            # Nothing but zeros is a hole, and costs nobody anything.
            entry = Entry(HOLE, len(plaintext))
        else:
            entry = Entry(chunk_id_of(plaintext, chunk_key=drive.chunk_key), len(plaintext))
        manifest = Manifest(manifest_id_of([entry]), [entry])
        olds = _trusted(content.base, similar, certain_only)
        new_content = NewContent(manifest.manifest_id, len(plaintext))
        sent = SentContent(content.drive_id, content.node_id, new_content, manifest, stats)
        if olds and olds[0].manifest.manifest_id == manifest.manifest_id:
            stats.known_bytes = len(plaintext)
            return sent
        new_content = NewContent(
            manifest.manifest_id, len(plaintext), entries=pack_entries([entry])
        )
        is_tiny = len(plaintext) < _KNOWN_BYTES_MIN
        choice = DeltaChoice(
            self._store,
            content.drive_id,
            None,
            [source.manifest for source in olds],
            len(plaintext),
        )
        if entry.is_hole or (
            not is_tiny
            and self._known_in(content.drive_id, [entry.chunk_id], choice, known, certain_only)
        ):
            stats.known_bytes = len(plaintext)
            return sent._replace(new_content=new_content)
        base = None if is_tiny else choice.first_at_hand()
        encoded = encode_chunk(entry.chunk_id, plaintext, base)
        stats.count(encoded)
        block = InlineBlock(entry.chunk_id, encoded.block, encoded.header.base)
        return sent._replace(
            new_content=NewContent(
                manifest.manifest_id,
                len(plaintext),
                entries=pack_entries([entry]),
                inline=[block],
            ),
            inline=((entry.chunk_id, plaintext),),
        )

    async def _whole(self, content: DirtyContent) -> bytes:
        """Return all bytes of a small content."""
        dirty = content.dirty
        size_bytes = content.size_bytes
        if len(dirty) == 1 and dirty[0] == (0, size_bytes):
            return content.read_dirty(0, size_bytes)
        whole = bytearray(size_bytes)
        visible = min(content.base_visible_bytes, size_bytes)
        if content.base is not None and visible:
            below = await self._reader.read(content.base, 0, visible)
            whole[: len(below)] = below
        for start, end in dirty:
            whole[start:end] = content.read_dirty(start, end - start)
        return bytes(whole)

    async def _send_large(
        self,
        content: DirtyContent,
        similar: Sequence[ContentSource],
        known: IsKnown | None,
        upload_id: UploadId | None,
        certain_only: bool,
    ) -> SentContent:
        drive_id = content.drive_id
        drive = self._drives[drive_id]
        base = content.base
        steps = plan_delta(
            base.manifest if base is not None else None,
            base_visible_bytes=content.base_visible_bytes,
            dirty=content.dirty,
            size_bytes=content.size_bytes,
        )
        olds = _trusted(base, similar, certain_only)
        used_id = upload_id if upload_id is not None else self.new_upload_id()
        request = UploadRequest(
            upload_id=used_id,
            node_id=content.node_id,
            base_revision=base.revision if base is not None else 0,
            growth_bytes=max(_growth_bytes(base.manifest if base is not None else None, steps), 0),
            chunks=[],
        )
        choice = DeltaChoice(
            self._store,
            drive_id,
            base.manifest if base is not None else None,
            [source.manifest for source in similar],
            content.size_bytes,
        )
        upload = Upload(
            self._api,
            self._store,
            self._workers,
            ContentBuilder(content, steps, drive, self._reader, self._workers),
            Announcer(self._api, drive_id, request, waits=upload_id is not None),
            choice,
            drive_id=drive_id,
            upload_id=used_id,
            is_known=lambda ids: self._known_in(drive_id, ids, choice, known, certain_only),
        )
        async with self._large:
            await upload.run()
        entries = upload.entries
        heavy = len(entries) > _INLINE_ENTRIES_MAX
        manifest_id = (
            await self._workers.run(manifest_id_of, entries) if heavy else manifest_id_of(entries)
        )
        manifest = Manifest(manifest_id, entries)
        new_content = NewContent(
            manifest_id, content.size_bytes, upload_id=used_id if upload.is_used else b""
        )
        is_known = any(source.manifest.manifest_id == manifest_id for source in olds)
        if not is_known and (certain_only or not self._catalog.holds(drive_id, manifest_id)):
            told = [source.manifest for source in olds]
            new_content = (
                await self._workers.run(_tell_entries, new_content, entries, told)
                if heavy
                else _tell_entries(new_content, entries, told)
            )
        return SentContent(drive_id, content.node_id, new_content, manifest, upload.stats)

    def _known_in(
        self,
        drive_id: DriveId,
        chunk_ids: Sequence[ChunkId],
        choice: DeltaChoice,
        known: IsKnown | None,
        certain_only: bool,
    ) -> set[ChunkId]:
        """Return those of `chunk_ids` that the drive is thought to have.

        What this device has in its cache came from the drive or was sent there.
        """
        here = set() if certain_only else set(chunk_ids) - self._store.lacking(drive_id, chunk_ids)
        here.update(choice.known_of(chunk_ids))
        if known is not None and not certain_only:
            here.update(chunk_id for chunk_id in chunk_ids if known(chunk_id))
        return here


def _trusted(
    base: ContentSource | None, similar: Sequence[ContentSource], certain_only: bool
) -> list[ContentSource]:
    """Return the content that the drive is taken to have, the likeliest first. Pure."""
    return [source for source in (base, *(() if certain_only else similar)) if source is not None]


def _growth_bytes(base: Manifest | None, steps: Sequence[Step]) -> int:
    """Return by how much the charged size grows: holes are free, kept entries cancel out. Pure."""
    growth = sum(step.end - step.start for step in steps if isinstance(step, Stretch))
    if base is None:
        return growth
    at = 0
    for keep in (*(step for step in steps if isinstance(step, Keep)), Keep(len(base.entries), 0)):
        growth -= sum(entry.length for entry in base.entries[at : keep.first] if not entry.is_hole)
        at = keep.first + keep.entry_count
    return growth


def _tell_entries(
    new_content: NewContent, entries: Sequence[Entry], olds: Sequence[Manifest]
) -> NewContent:
    """Return `new_content` with the shortest way to tell its entries. Pure."""
    best = Splice(b"", ())
    best_bytes = ENTRY_BYTES * len(entries)
    for old in olds:
        if not old.entries:
            continue
        replacements = plan_splice(old.entries, entries)
        splice_bytes = len(old.manifest_id) + sum(
            len(replacement.entries) + _REPLACEMENT_BYTES for replacement in replacements
        )
        if splice_bytes < best_bytes:
            best, best_bytes = Splice(old.manifest_id, replacements), splice_bytes
    if best.base_manifest:
        return msgspec.structs.replace(new_content, splice=best)
    return msgspec.structs.replace(new_content, entries=pack_entries(entries))
