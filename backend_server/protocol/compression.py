"""A whole body compressed with zstd, and its plain bytes back within a bound.

One frame that declares its size: nothing is allocated before the bound is checked, and nothing is
made beyond what was declared.
"""

from typing import Final

import zstandard

from backend_server.protocol.limits import MIB

ZSTD: Final = "zstd"
_LEVEL: Final = 1
_WINDOW_BYTES_MAX: Final = 64 * MIB
"""A single-segment frame has a window as large as its content."""


class CompressionMalformed(ValueError):
    """Bytes that are not one frame of zstd, or not as long as it says."""


class CompressedTooLarge(ValueError):
    """The plain bytes would be more than allowed."""


def compress(body: bytes) -> bytes:
    """Return `body` as one frame. Pure."""
    return zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(body)


def decompress(body: bytes | bytearray, *, bytes_max: int) -> bytes:
    """Return the plain bytes of `body`, at most `bytes_max` of them. Pure.

    Raises:
        CompressionMalformed, CompressedTooLarge
    """
    assert bytes_max <= _WINDOW_BYTES_MAX
    try:
        size_bytes = zstandard.frame_content_size(body)
        if size_bytes < 0:
            raise CompressionMalformed("A zstd body declares its size.")
        if size_bytes > bytes_max:
            raise CompressedTooLarge(f"This body has at most {bytes_max} bytes.")
        decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES_MAX)
        plain = decompressor.decompress(body, max_output_size=size_bytes, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise CompressionMalformed(f"Not zstd: {error}") from error
    if len(plain) != size_bytes:
        raise CompressionMalformed("A zstd body that is not as long as it says.")
    return plain
