"""Request bodies. They may be sent again, and be left in the middle when a connection breaks: an
asynchronous generator, as httpx makes of bytes, would then wait for the garbage collector."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import httpx

from backend_server.protocol.frames import frame_prefix
from backend_server.protocol.limits import KIB
from backend_server.protocol.messages import BlockHeader, encode

# Below this, copying into one buffer costs less than another call to send.
_JOIN_BYTES_MAX: Final = 64 * KIB


class BytesBody(httpx.AsyncByteStream):
    """A body that is one piece, or none."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Pieces(iter([self._body] if self._body else []))


class FramesBody(httpx.AsyncByteStream):
    """Blocks as frames, sent without being copied together. `length_bytes` is that of all."""

    def __init__(self, blocks: Sequence[tuple[BlockHeader, bytes]]) -> None:
        self._frames = [
            (frame_prefix(encode(header), len(payload)), payload) for header, payload in blocks
        ]
        self.length_bytes = sum(len(prefix) + len(payload) for prefix, payload in self._frames)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Pieces(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        small: list[bytes] = []
        small_bytes = 0
        for prefix, payload in self._frames:
            small.append(prefix)
            small_bytes += len(prefix)
            if len(payload) >= _JOIN_BYTES_MAX:
                yield b"".join(small)
                yield payload
                small, small_bytes = [], 0
                continue
            small.append(payload)
            small_bytes += len(payload)
            if small_bytes >= _JOIN_BYTES_MAX:
                yield b"".join(small)
                small, small_bytes = [], 0
        if small:
            yield b"".join(small)


class _Pieces:
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def __aiter__(self) -> "_Pieces":
        return self

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration
