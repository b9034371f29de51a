"""Small content: one chunk, which travels in the commit."""

from typing import Final, NamedTuple

from backend_server.protocol.commit_messages import InlineBlock, NewContent
from backend_server.protocol.identity import ChunkId, chunk_id_of
from backend_server.protocol.manifests import HOLE, Entry, manifest_id_of, pack_entries
from mountfs.blocks.delta_choice import DeltaChoice
from mountfs.blocks.encoder import SendStats, encode_chunk
from mountfs.blocks.reader import ContentReader
from mountfs.blocks.trust import Trust
from mountfs.core.content import DirtyContent, Manifest

# Below this, sending the bytes costs less than a commit that was wrong about a known chunk.
_KNOWN_BYTES_MIN: Final = 512


class InlineContent(NamedTuple):
    """Small content, ready for a commit. `chunks` travel in it."""

    new_content: NewContent
    manifest: Manifest
    chunks: tuple[tuple[ChunkId, bytes], ...]


def inline_content(
    plaintext: bytes, *, chunk_key: bytes, trust: Trust, choice: DeltaChoice, stats: SendStats
) -> InlineContent:
    """Return `plaintext` as content: told by id if the drive has it, else as a block or a delta.

    `plaintext` is not empty, and at most INLINE_CONTENT_BYTES_MAX long.
    """
    size_bytes = len(plaintext)
    stats.new_bytes += size_bytes
    if plaintext.count(0) == size_bytes:
        # Nothing but zeros is a hole, and costs nobody anything.
        entry = Entry(HOLE, size_bytes)
    else:
        entry = Entry(chunk_id_of(plaintext, chunk_key=chunk_key), size_bytes)
    manifest = Manifest(manifest_id_of([entry]), [entry])
    if trust.is_base(manifest.manifest_id) and not trust.is_lost(entry.chunk_id):
        stats.known_bytes += size_bytes
        return InlineContent(NewContent(manifest.manifest_id, size_bytes), manifest, ())
    packed = pack_entries([entry])
    is_tiny = size_bytes < _KNOWN_BYTES_MIN
    if entry.is_hole or (not is_tiny and trust.known([entry.chunk_id], choice)):
        stats.known_bytes += size_bytes
        told = NewContent(manifest.manifest_id, size_bytes, entries=packed)
        return InlineContent(told, manifest, ())
    base = None if is_tiny or trust.certain_only else choice.first_at_hand()
    encoded = encode_chunk(entry.chunk_id, plaintext, base)
    stats.count(encoded)
    trust.relied = trust.relied or encoded.is_delta
    block = InlineBlock(entry.chunk_id, encoded.block.joined(), encoded.header.base)
    told = NewContent(manifest.manifest_id, size_bytes, entries=packed, inline=[block])
    return InlineContent(told, manifest, ((entry.chunk_id, plaintext),))


async def read_whole(content: DirtyContent, reader: ContentReader) -> bytes:
    """Return all bytes of a small content. Checkpoint only if its base must be fetched."""
    dirty = content.dirty
    size_bytes = content.size_bytes
    if len(dirty) == 1 and dirty[0] == (0, size_bytes):
        return content.read_dirty(0, size_bytes)
    whole = bytearray(size_bytes)
    visible = min(content.base_visible_bytes, size_bytes)
    if content.base is not None and visible:
        below = await reader.read(content.base, 0, visible)
        whole[: len(below)] = below
    for start, end in dirty:
        whole[start:end] = content.read_dirty(start, end - start)
    return bytes(whole)
