"""Request bodies. They may be sent again, and be left in the middle when a connection breaks: an
asynchronous generator, as httpx makes of bytes, would then wait for the garbage collector."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import httpx

from backend_server.protocol.blocks import Block
from backend_server.protocol.encoding import encode
from backend_server.protocol.frames import frame_prefix, joined
from backend_server.protocol.limits import MIB
from backend_server.protocol.transfer_messages import BlockHeader

_PIECE_BYTES: Final = 1 * MIB
"""What is sent in one go, about. Prefix and payload sent by turns, what lies above the socket took
a tenth of the loop's time in an upload (py-spy); joining a MiB takes 44 us."""


class BytesBody(httpx.AsyncByteStream):
    """A body that is one piece, or none."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Pieces(iter([self._body] if self._body else []))


class FramesBody(httpx.AsyncByteStream):
    """Blocks as frames, joined a piece at a time. `length_bytes` is that of all."""

    def __init__(self, blocks: Sequence[tuple[BlockHeader, Block]]) -> None:
        self._parts: list[bytes] = []
        for header, block in blocks:
            prefix = frame_prefix(encode(header), block.size_bytes)
            self._parts += (prefix, block.head, block.payload)
        self.length_bytes = sum(map(len, self._parts))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Pieces(joined(self._parts, bytes_min=_PIECE_BYTES))


class _Pieces:
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def __aiter__(self) -> "_Pieces":
        return self

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration
