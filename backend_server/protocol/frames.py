"""Many headers and payloads in one body, so that a batch streams both ways.

    4 bytes   length of the header, big-endian
    4 bytes   length of the payload, big-endian
    header    msgpack
    payload   raw bytes

A body is any number of frames, one behind the other. Both lengths are bounded before anything is
held, so a stream never makes its reader keep more than one frame and one network read.
"""

import struct
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from backend_server.protocol.limits import BLOCK_SIZE_BYTES_MAX, FRAME_HEADER_BYTES_MAX, KIB

_LENGTHS: Final = struct.Struct(">II")
_SMALL_PIECE_BYTES: Final = 64 * KIB


class FrameMalformed(ValueError):
    """A frame that is cut off or larger than a frame may be."""


def encode_frame(header: bytes, payload: bytes = b"") -> bytes:
    """Return one frame. Pure. Copies; `frame_prefix` does not."""
    return frame_prefix(header, len(payload)) + payload


def frame_prefix(header: bytes, payload_length: int) -> bytes:
    """Return what goes on the wire before a payload of `payload_length` bytes. Pure."""
    assert len(header) <= FRAME_HEADER_BYTES_MAX
    assert payload_length <= BLOCK_SIZE_BYTES_MAX
    return _LENGTHS.pack(len(header), payload_length) + header


def joined(parts: Sequence[bytes], *, bytes_min: int) -> Iterator[bytes]:
    """Yield `parts` joined into pieces of at least `bytes_min`, the last one of any size. Pure.

    Each byte is copied once; sending many small parts costs more than that.
    """
    first = size_bytes = 0
    for index, part in enumerate(parts):
        size_bytes += len(part)
        if size_bytes >= bytes_min:
            yield b"".join(parts[first : index + 1])
            first, size_bytes = index + 1, 0
    if size_bytes:
        yield b"".join(parts[first:])


class FrameReader:
    """Turns network reads of any size into frames.

    `feed` what came, then take frames from what it gives; `finish` when the body ended. Holds at
    most one incomplete frame besides what was fed last. A payload that came in one read is a view
    of it, not a copy; one that came in several is joined once.
    """

    def __init__(self) -> None:
        self._pieces: deque[memoryview] = deque()
        self._held_bytes = 0
        self._needed_bytes = _LENGTHS.size
        """Held bytes below this complete no frame."""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes | memoryview]]:
        """Yield (header, payload) of every frame that `data` completes. Exhaust it before `feed`.

        Raises:
            FrameMalformed: A length beyond its bound.
        """
        if data:
            self._hold(data)
        while self._held_bytes >= self._needed_bytes:
            prefix = self._peek(_LENGTHS.size)
            header_length, payload_length = _LENGTHS.unpack(prefix)
            if header_length > FRAME_HEADER_BYTES_MAX or payload_length > BLOCK_SIZE_BYTES_MAX:
                raise FrameMalformed("a frame larger than a frame may be")
            self._needed_bytes = _LENGTHS.size + header_length + payload_length
            if self._held_bytes < self._needed_bytes:
                return
            self._take(_LENGTHS.size)
            header = bytes(self._take(header_length))
            yield header, self._take(payload_length)
            self._needed_bytes = _LENGTHS.size

    def finish(self) -> None:
        """Check that the body ended behind a frame.

        Raises:
            FrameMalformed: The body ended inside a frame.
        """
        if self._held_bytes:
            raise FrameMalformed("the body ends inside a frame")

    def _hold(self, data: bytes) -> None:
        self._pieces.append(memoryview(data))
        self._held_bytes += len(data)
        # A sender may cut a frame into single bytes. Small pieces are joined as a binary counter
        # carries: few are held, and each byte is copied at most 16 times.
        while len(self._pieces) > 1 and len(self._pieces[-2]) <= len(self._pieces[-1]):
            if len(self._pieces[-1]) >= _SMALL_PIECE_BYTES:
                break
            last = self._pieces.pop()
            self._pieces.append(memoryview(b"".join((self._pieces.pop(), last))))

    def _peek(self, count: int) -> bytes:
        peeked = bytes(self._pieces[0][:count])
        for piece in islice(self._pieces, 1, None):
            if len(peeked) == count:
                break
            peeked += piece[: count - len(peeked)]
        return peeked

    def _take(self, count: int) -> bytes | memoryview:
        """Remove and return the first `count` held bytes."""
        self._held_bytes -= count
        parts: list[memoryview] = []
        while count:
            piece = self._pieces[0]
            if len(piece) <= count:
                parts.append(self._pieces.popleft())
                count -= len(piece)
            else:
                parts.append(piece[:count])
                self._pieces[0] = piece[count:]
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)
