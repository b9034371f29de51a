"""New chunks as blocks for the wire, as a delta where that is smaller.

A delta is tried only against a chunk that is on this device. When deltas do not pay (the file was
replaced by something else) trying goes on rarely, because each try costs about 3 ms a chunk.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from backend_server.protocol.blocks import Block, Codec, make_block, make_delta
from backend_server.protocol.identity import ChunkId
from backend_server.protocol.transfer_messages import BlockHeader

# A delta this many times smaller than its chunk is taken without looking at the alternative.
_CLEAR_GAIN: Final = 4
_FRUITLESS_MAX: Final = 8
_RARE_TRY: Final = 16


class Encoded(NamedTuple):
    """A block ready to be sent, and what it decodes to. Raw, both are the same bytes: an
    incompressible chunk is not held twice while it waits."""

    header: BlockHeader
    block: Block
    plaintext: bytes

    @property
    def is_delta(self) -> bool:
        return bool(self.header.base)


class DeltaBase(NamedTuple):
    chunk_id: ChunkId
    plaintext: bytes


def encode_chunk(chunk_id: ChunkId, plaintext: bytes, base: DeltaBase | None) -> Encoded:
    """Return the smaller of a whole block and a delta against `base`. Pure. Releases the GIL."""
    if base is not None:
        delta = make_delta(plaintext, base.plaintext)
        if delta.size_bytes * _CLEAR_GAIN <= len(plaintext):
            return Encoded(BlockHeader(chunk_id, base.chunk_id), delta, plaintext)
        block = make_block(plaintext)
        if delta.size_bytes < block.size_bytes:
            return Encoded(BlockHeader(chunk_id, base.chunk_id), delta, plaintext)
    else:
        block = make_block(plaintext)
    return Encoded(BlockHeader(chunk_id), block, plaintext)


def encode_chunks(
    chunks: Sequence[tuple[ChunkId, bytes, DeltaBase | None]],
) -> list[Encoded]:
    """Return each chunk encoded. Pure."""
    return [encode_chunk(chunk_id, plaintext, base) for chunk_id, plaintext, base in chunks]


def encode_whole(encoded: Encoded) -> Encoded:
    """Return the same chunk without a delta: for a server that has lost the base. Pure."""
    return encode_chunk(ChunkId(encoded.header.chunk_id), encoded.plaintext, None)


class DeltaLuck:
    """Whether trying a delta pays, by how the last ones went."""

    def __init__(self) -> None:
        self._fruitless = 0
        self._skipped = 0

    def should_try(self) -> bool:
        if self._fruitless < _FRUITLESS_MAX:
            return True
        self._skipped += 1
        return self._skipped % _RARE_TRY == 0

    def learn(self, tried: int, encoded: Sequence[Encoded]) -> None:
        """Note that of `tried` tries the deltas among `encoded` came out."""
        deltas = sum(1 for one in encoded if one.is_delta)
        self._fruitless = 0 if deltas else self._fruitless + tried


@dataclass(slots=True)
class SendStats:
    """What sending one content cost and saved, in bytes of plaintext or of blocks.

    `new_bytes` were cut anew; of these `known_bytes` were not sent because the drive has them,
    and the rest went as `block_bytes` of blocks: `delta_saved_bytes` less because of deltas and
    `compression_saved_bytes` because of compression.
    """

    new_bytes: int = 0
    known_bytes: int = 0
    block_bytes: int = 0
    delta_saved_bytes: int = 0
    compression_saved_bytes: int = 0

    def count(self, encoded: Encoded) -> None:
        """Add a block that was sent."""
        self.block_bytes += encoded.block.size_bytes
        saved = len(encoded.plaintext) - encoded.block.size_bytes
        if encoded.is_delta:
            self.delta_saved_bytes += saved
        elif encoded.block.codec is not Codec.RAW:
            self.compression_saved_bytes += saved
