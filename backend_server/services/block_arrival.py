"""What comes with a body of blocks: frames, gathered into groups, verified and sealed.

A group is what is decoded, stored and acknowledged together. Its weight counts plaintexts and
bases, not what came over the wire: a small block can stand for a large chunk, and no body may ask
for more memory than a group.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from backend_server.domain.refusals import Refusal
from backend_server.domain.vault import SealedBlock
from backend_server.protocol.blocks import (
    HEADER_BYTES,
    BlockMalformed,
    Codec,
    codec_of,
    decode_block,
    encode_block,
    plaintext_length,
)
from backend_server.protocol.encoding import MessageMalformed, decode
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.frames import FrameMalformed, FrameReader
from backend_server.protocol.identity import DIGEST_BYTES, ChunkId, chunk_id_of
from backend_server.protocol.limits import (
    BLOCKS_BODY_BYTES_MAX,
    CHUNK_SIZE_BYTES_MAX,
    MIB,
    UPLOAD_CHUNKS_MAX,
)
from backend_server.protocol.transfer_messages import BlockHeader

GROUP_WEIGHT_BYTES: Final = 8 * MIB
"""One group of a usual body. Larger groups save syncs, smaller ones overlap better."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One block as it came. `base` is empty unless the block is a delta."""

    chunk_id: ChunkId
    base: ChunkId
    block: bytes | memoryview
    length: int
    """Of the plaintext, as the block declares it; verified later."""

    @property
    def weight_bytes(self) -> int:
        return self.length + (CHUNK_SIZE_BYTES_MAX if self.base else 0)


@dataclass(frozen=True, slots=True)
class VerifiedBlock:
    """A block whose plaintext is the chunk that it says, sealed and ready to be kept."""

    chunk_id: ChunkId
    length: int
    sealed: SealedBlock


async def read_groups(body: AsyncGenerator[bytes, None]) -> AsyncGenerator[list[Frame], None]:
    """Yield the frames of `body` in groups of about GROUP_WEIGHT_BYTES, never empty.

    Closes `body`; to be closed itself.

    Raises:
        Refusal: MALFORMED, TOO_LARGE.
    """
    reader = FrameReader()
    body_bytes = frames_count = weight_bytes = 0
    group: list[Frame] = []
    async with aclosing(body):
        try:
            async for data in body:
                body_bytes += len(data)
                if body_bytes > BLOCKS_BODY_BYTES_MAX:
                    raise Refusal(
                        ErrorCode.TOO_LARGE, f"A body has at most {BLOCKS_BODY_BYTES_MAX} bytes."
                    )
                for header, payload in reader.feed(data):
                    frame = parse_frame(header, payload)
                    frames_count += 1
                    if frames_count > UPLOAD_CHUNKS_MAX:
                        raise Refusal(
                            ErrorCode.TOO_LARGE, f"A body has at most {UPLOAD_CHUNKS_MAX} blocks."
                        )
                    group.append(frame)
                    weight_bytes += frame.weight_bytes
                    if weight_bytes >= GROUP_WEIGHT_BYTES:
                        yield group
                        group, weight_bytes = [], 0
            reader.finish()
        except FrameMalformed as error:
            raise Refusal(ErrorCode.MALFORMED, str(error)) from error
        if group:
            yield group


def parse_frame(header: bytes, block: bytes | memoryview) -> Frame:
    """Return one frame, its header and the block's own header checked. Pure.

    Raises:
        Refusal: MALFORMED.
    """
    try:
        parsed = decode(header, BlockHeader)
        length = plaintext_length(block)
        is_delta = codec_of(block) is Codec.ZSTD_DELTA
    except (MessageMalformed, BlockMalformed) as error:
        raise Refusal(ErrorCode.MALFORMED, str(error)) from error
    if len(parsed.chunk_id) != DIGEST_BYTES or (is_delta and len(parsed.base) != DIGEST_BYTES):
        raise Refusal(ErrorCode.MALFORMED, "A chunk id has 32 bytes.")
    base = ChunkId(parsed.base) if is_delta else ChunkId(b"")
    return Frame(ChunkId(parsed.chunk_id), base, block, length)


def verify_and_seal(
    frames: Sequence[Frame],
    *,
    chunk_key: bytes,
    bases: Mapping[ChunkId, bytes],
    seal: Callable[[ChunkId, bytes | memoryview], SealedBlock],
) -> list[VerifiedBlock]:
    """Return each chunk once, verified, as a whole block, sealed. For a worker thread.

    Raises:
        Refusal: CHUNK_MISMATCH: a block does not decode to the chunk that it names, or its base is
            not stored. Nothing is poisoned: the whole group is refused.
    """
    verified: dict[ChunkId, VerifiedBlock] = {}
    for frame in frames:
        if frame.chunk_id in verified:
            # Not decoded again: a few bytes may stand for a large chunk, thousands of times.
            continue
        if frame.base and frame.base not in bases:
            raise Refusal(ErrorCode.CHUNK_MISMATCH, "The base of a delta is not stored.")
        plaintext = _plaintext_of(frame, bases)
        if not plaintext or chunk_id_of(plaintext, chunk_key=chunk_key) != frame.chunk_id:
            raise Refusal(ErrorCode.CHUNK_MISMATCH, "A block is not the chunk that it names.")
        # A delta is decoded and stored whole: no stored block depends on another.
        block = encode_block(bytes(plaintext)) if frame.base else frame.block
        verified[frame.chunk_id] = VerifiedBlock(
            frame.chunk_id, len(plaintext), seal(frame.chunk_id, block)
        )
    return list(verified.values())


def _plaintext_of(frame: Frame, bases: Mapping[ChunkId, bytes]) -> bytes | memoryview:
    if codec_of(frame.block) is Codec.RAW and len(frame.block) == HEADER_BYTES + frame.length:
        # Not copied: most of what is large is compressed already and comes raw.
        return memoryview(frame.block)[HEADER_BYTES:]
    try:
        return decode_block(frame.block, base=bases.get(frame.base))
    except BlockMalformed as error:
        raise Refusal(ErrorCode.CHUNK_MISMATCH, f"A block does not decode: {error}") from error
