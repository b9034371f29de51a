"""Request bodies that are sent without being copied together."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

import httpx

from backend_server.protocol.frames import frame_prefix
from backend_server.protocol.limits import KIB
from backend_server.protocol.messages import BlockHeader, encode

# Below this, copying into one buffer costs less than another call to send.
_JOIN_BYTES_MAX: Final = 64 * KIB


class FramesBody(httpx.AsyncByteStream):
    """Blocks as frames; may be sent again. `length_bytes` is the whole body's length."""

    def __init__(self, blocks: Sequence[tuple[BlockHeader, bytes]]) -> None:
        self._frames = [
            (frame_prefix(encode(header), len(payload)), payload) for header, payload in blocks
        ]
        self.length_bytes = sum(len(prefix) + len(payload) for prefix, payload in self._frames)

    async def __aiter__(self) -> AsyncIterator[bytes]:
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
