"""Where a byte stream is cut into chunks: FastCDC 2020.

Source: Wen Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based
Storage Systems", IEEE TPDS 2020. A drive names its chunker and its parameters, so that a later
version of this file can bring another without cutting old drives differently. Golden vectors in
`tests/unit/test_chunking.py` hold the boundaries still.
"""

from collections.abc import Iterator
from typing import Literal

import msgspec
from pyfastcdc import FastCDC

from backend_server.protocol.limits import (
    CHUNK_SIZE_BYTES_AVG,
    CHUNK_SIZE_BYTES_MAX,
    CHUNK_SIZE_BYTES_MIN,
)


class ChunkerParameters(msgspec.Struct, frozen=True):
    """How a drive cuts its files; fixed when the drive is made."""

    name: str = "fastcdc-2020"
    size_bytes_min: int = CHUNK_SIZE_BYTES_MIN
    size_bytes_avg: int = CHUNK_SIZE_BYTES_AVG
    size_bytes_max: int = CHUNK_SIZE_BYTES_MAX
    normalization: Literal[0, 1, 2, 3] = 2
    seed: int = 0


class Chunker:
    """Cuts buffers into chunks. Not to be shared between threads."""

    def __init__(self, parameters: ChunkerParameters) -> None:
        if parameters.name != "fastcdc-2020":
            raise ValueError(f"unknown chunker {parameters.name!r}: update mountfs")
        self.parameters = parameters
        self._cutter = FastCDC(
            parameters.size_bytes_avg,
            min_size=parameters.size_bytes_min,
            max_size=parameters.size_bytes_max,
            normalized_chunking=parameters.normalization,
            seed=parameters.seed,
        )

    def cut(self, buffer: bytes | bytearray | memoryview) -> Iterator[int]:
        """Yield the lengths of the chunks of `buffer`, in order; they add up to its length.

        The last chunk may be shorter than the minimum. A caller that streams must treat the last
        length as provisional unless the buffer ends where the file ends. Releases the GIL.
        """
        for chunk in self._cutter.cut_buf(buffer):
            yield chunk.length
