"""Many headers and payloads in one body, so that a batch streams both ways.

    4 bytes   length of the header, big-endian
    4 bytes   length of the payload, big-endian
    header    msgpack
    payload   raw bytes

A body is any number of frames, one behind the other. Both lengths are bounded before anything is
held, so a stream never makes its reader keep more than one frame and one network read.
"""

import struct
from collections.abc import Iterator
from typing import Final

from backend_server.protocol.limits import BLOCK_SIZE_BYTES_MAX, FRAME_HEADER_BYTES_MAX

_LENGTHS: Final = struct.Struct(">II")


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


class FrameReader:
    """Turns network reads of any size into frames.

    `feed` what came, then take frames from `frames`; `finish` when the body ended. Holds at most
    one incomplete frame besides what was fed last.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (header, payload) of every frame that `data` completes. Exhaust it before `feed`.

        Raises:
            FrameMalformed: A length beyond its bound.
        """
        buffer = self._buffer
        buffer += data
        at = 0
        with memoryview(buffer) as view:
            while len(buffer) - at >= _LENGTHS.size:
                header_length, payload_length = _LENGTHS.unpack_from(buffer, at)
                if header_length > FRAME_HEADER_BYTES_MAX or payload_length > BLOCK_SIZE_BYTES_MAX:
                    raise FrameMalformed("a frame larger than a frame may be")
                payload_at = at + _LENGTHS.size + header_length
                end = payload_at + payload_length
                if len(buffer) < end:
                    break
                yield bytes(view[at + _LENGTHS.size : payload_at]), bytes(view[payload_at:end])
                at = end
        del buffer[:at]

    def finish(self) -> None:
        """Check that the body ended behind a frame.

        Raises:
            FrameMalformed: The body ended inside a frame.
        """
        if self._buffer:
            raise FrameMalformed("the body ends inside a frame")
