"""A chunk encoded as it travels and is stored: a *block*.

    byte 0      version, 1
    byte 1      codec: 0 raw, 1 zstd, 2 zstd against a base chunk
    bytes 2-5   length of the plaintext, big-endian
    rest        payload

A block describes itself. Decoding is bounded by the declared length and by the largest chunk: a
small block can never ask for much memory. Codec 2 is "patch from" (the base chunk is zstd's raw
dictionary, https://github.com/facebook/zstd/wiki/Zstandard-as-a-patching-engine); such blocks
live on the wire only, whoever keeps one decodes it first.
"""

import struct
from enum import IntEnum
from typing import Final, NamedTuple

import zstandard

from backend_server.protocol.limits import CHUNK_SIZE_BYTES_MAX

_HEADER: Final = struct.Struct(">BBI")
_VERSION: Final = 1
ZSTD_LEVEL: Final = 1
HEADER_BYTES: Final = _HEADER.size

# Incompressible data costs zstd about 1 ms a MiB here and gains nothing: a sample decides. One in
# sixteen bytes saved on the sample is taken as "compresses".
_SAMPLE_BYTES: Final = 8 * 1024
_SAMPLE_GAIN: Final = 16


class Codec(IntEnum):
    RAW = 0
    ZSTD = 1
    ZSTD_DELTA = 2


class BlockMalformed(ValueError):
    """Bytes that are no block, or that do not decode to what they declare."""


class Block(NamedTuple):
    """A block in its two parts: what is large is not copied to put six bytes before it."""

    head: bytes
    payload: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.head) + len(self.payload)

    @property
    def codec(self) -> Codec:
        return codec_of(self.head)

    def joined(self) -> bytes:
        """Return the whole block; copies."""
        return self.head + self.payload


def encode_block(plaintext: bytes, *, level: int = ZSTD_LEVEL) -> bytes:
    """Return `plaintext` as a block, compressed where that pays. Pure. Releases the GIL.

    `plaintext` is at most CHUNK_SIZE_BYTES_MAX long.
    """
    return make_block(plaintext, level=level).joined()


def make_block(plaintext: bytes, *, level: int = ZSTD_LEVEL) -> Block:
    """As `encode_block`; where nothing was gained the payload is `plaintext` itself."""
    length = len(plaintext)
    assert length <= CHUNK_SIZE_BYTES_MAX
    if _seems_compressible(plaintext):
        payload = zstandard.ZstdCompressor(level=level, write_content_size=True).compress(plaintext)
        if len(payload) < length:
            return Block(_HEADER.pack(_VERSION, Codec.ZSTD, length), payload)
    return Block(_HEADER.pack(_VERSION, Codec.RAW, length), plaintext)


def encode_delta(plaintext: bytes, base: bytes) -> bytes:
    """Return `plaintext` as a block against the chunk `base`. Pure. Releases the GIL.

    The result is worth sending only if it is shorter than `encode_block` gives.
    """
    return make_delta(plaintext, base).joined()


def make_delta(plaintext: bytes, base: bytes) -> Block:
    """As `encode_delta`."""
    assert len(plaintext) <= CHUNK_SIZE_BYTES_MAX
    dictionary = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    # The window must reach back over the whole base and the whole chunk, long matches found.
    parameters = zstandard.ZstdCompressionParameters.from_level(
        3, window_log=21, enable_ldm=True, source_size=len(plaintext), write_content_size=True
    )
    compressor = zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters)
    payload = compressor.compress(plaintext)
    return Block(_HEADER.pack(_VERSION, Codec.ZSTD_DELTA, len(plaintext)), payload)


def plaintext_length(block: bytes | memoryview) -> int:
    """Return the length that `block` declares for its plaintext. Pure.

    Raises:
        BlockMalformed: Not a block, or more than the largest chunk.
    """
    _, length = _parse_header(block)
    return length


def codec_of(block: bytes | memoryview) -> Codec:
    """Return the codec that `block` declares. Pure. Raises `BlockMalformed`."""
    codec, _ = _parse_header(block)
    return codec


def decode_block(block: bytes | memoryview, *, base: bytes | None = None) -> bytes:
    """Return the plaintext of `block`. Pure. Releases the GIL.

    Bounded: never makes more than the declared length, which is at most CHUNK_SIZE_BYTES_MAX.

    Args:
        base: Plaintext of the chunk that a ZSTD_DELTA block was made against.

    Raises:
        BlockMalformed: Not a block; truncated; longer or shorter than declared; base missing.
    """
    codec, length = _parse_header(block)
    payload = memoryview(block)[HEADER_BYTES:]
    match codec:
        case Codec.RAW:
            plaintext = bytes(payload)
        case Codec.ZSTD:
            plaintext = _decompress(payload, length, None)
        case Codec.ZSTD_DELTA:
            if base is None:
                raise BlockMalformed("a delta without its base")
            plaintext = _decompress(payload, length, base)
    if len(plaintext) != length:
        raise BlockMalformed(f"declares {length} bytes, holds {len(plaintext)}")
    return plaintext


def _parse_header(block: bytes | memoryview) -> tuple[Codec, int]:
    if len(block) < HEADER_BYTES:
        raise BlockMalformed("shorter than a block's header")
    version, codec, length = _HEADER.unpack_from(block)
    if version != _VERSION or codec not in (0, 1, 2):
        raise BlockMalformed(f"unknown version {version} or codec {codec}")
    if length > CHUNK_SIZE_BYTES_MAX:
        raise BlockMalformed(f"declares {length} bytes, more than a chunk can have")
    return Codec(codec), length


def _decompress(payload: memoryview, length: int, base: bytes | None) -> bytes:
    dictionary = (
        None
        if base is None
        else zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    )
    decompressor = zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=1 << 22)
    try:
        # The frame's own content size is the attacker's word: hold it against ours before
        # zstandard allocates by it.
        if zstandard.frame_content_size(payload) != length:
            raise BlockMalformed("the frame's size is not the block's")
        return decompressor.decompress(payload, max_output_size=length, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise BlockMalformed(str(error)) from error


def _seems_compressible(plaintext: bytes | memoryview) -> bool:
    length = len(plaintext)
    if length <= 4 * _SAMPLE_BYTES:
        return True
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    # Two places, not one: archives and media often open with a compressible header.
    for start in (length // 4, length // 2):
        sample = plaintext[start : start + _SAMPLE_BYTES]
        if len(compressor.compress(sample)) < len(sample) - len(sample) // _SAMPLE_GAIN:
            return True
    return False
