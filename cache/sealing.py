"""How bytes are sealed: frames of AES-256-GCM, kept in pieces.

    plaintext   |<- FRAME ->|<- FRAME ->|<- FRAME ->|<- FRAME ->|<- rest ->|
    piece 0     header | frame 0 + tag | frame 1 + tag | frame 2 + tag
    piece 1     header | frame 3 + tag | rest + tag
    header      version (1) | plaintext length (4, big-endian) | nonce (12)

A *frame* is what is opened at once: a 4 KiB read opens one. A *piece* is what the database stores
as one value; every piece of a value repeats the same header, so a read needs only its own piece.

A frame's nonce is the header's plus the frame's index. Its additional data are the value's full
name, the header and the frame's index (the frame count follows from the length): a frame that is
swapped, moved, cut off, or taken from another value, another view or an older put of the same
name does not open. Nonces are random (96 bits): two values of a view share one with a chance
below 2^-32 up to 2^28 values (NIST SP 800-38D, 8.3); a new view has a new key.

Measured, 256 KiB whole / 4 KiB at random: frames of 16 KiB 58 / 5.7 us, 32 KiB 45 / 7.1 us,
64 KiB 39 / 10.3 us, 256 KiB 30 / 30 us. Stored values of more than 128 KiB cost a write
transaction a third to a half of its speed (malloc gives them fresh pages each time): hence 96 KiB.

Pure but for the nonce, which the caller brings.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cache.errors import ValueDamaged

Buffer: TypeAlias = bytes | bytearray | memoryview

FRAME_BYTES: Final = 32 * 1024
FRAMES_PER_PIECE: Final = 3
PIECE_BYTES: Final = FRAME_BYTES * FRAMES_PER_PIECE
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
VALUE_BYTES_MAX: Final = 64 * 1024 * 1024

_HEADER: Final = struct.Struct(">BI12s")
_INDEX: Final = struct.Struct(">I")
_VERSION: Final = 1
_NONCE_MODULUS: Final = 1 << (8 * NONCE_BYTES)
_SEALED_FRAME_BYTES: Final = FRAME_BYTES + TAG_BYTES
SEALED_PIECE_BYTES_MAX: Final = _HEADER.size + FRAMES_PER_PIECE * _SEALED_FRAME_BYTES


def piece_count(length: int) -> int:
    """Return how many pieces a plaintext of `length` bytes is stored in; at least 1. Pure."""
    return max(1, -(-length // PIECE_BYTES))


def sealed_piece_bytes(length: int, piece_index: int) -> int:
    """Return the stored size of one piece of a plaintext of `length` bytes. Pure."""
    plain = min(PIECE_BYTES, length - piece_index * PIECE_BYTES)
    frames = max(1, -(-plain // FRAME_BYTES))
    return _HEADER.size + plain + frames * TAG_BYTES


def seal(
    cipher: AESGCM, name: bytes, plaintext: Buffer, nonce: bytes, *, scratch: bytearray
) -> Iterator[memoryview]:
    """Give `plaintext` sealed under `name`, piece by piece. Pure, but for `scratch`.

    Each piece lies in `scratch` and is overwritten by the next: memory that is fresh for every
    piece costs half as much again as sealing it does.

    Args:
        name: The whole name of the value; no other value sealed by `cipher` has it.
        nonce: NONCE_BYTES random bytes, never used before with `cipher` for other plaintext.
        scratch: SEALED_PIECE_BYTES_MAX bytes.
    """
    length = len(plaintext)
    assert length <= VALUE_BYTES_MAX
    assert len(nonce) == NONCE_BYTES
    header = _HEADER.pack(_VERSION, length, nonce)
    bound = name + header
    first_nonce = int.from_bytes(nonce)
    source = memoryview(plaintext)
    target = memoryview(scratch)
    target[: _HEADER.size] = header
    frame_index = 0
    for piece_index in range(piece_count(length)):
        piece_size = sealed_piece_bytes(length, piece_index)
        at = _HEADER.size
        while at < piece_size:
            start = frame_index * FRAME_BYTES
            frame = source[start : start + FRAME_BYTES]
            end = at + len(frame) + TAG_BYTES
            cipher.encrypt_into(
                _nonce_of(first_nonce, frame_index),
                frame,
                bound + _INDEX.pack(frame_index),
                target[at:end],
            )
            at = end
            frame_index += 1
        yield target[:piece_size]


def open_range(
    cipher: AESGCM,
    name: bytes,
    piece_at: Callable[[int], Buffer | None],
    offset: int,
    length: int | None,
) -> bytes | None:
    """Return `plaintext[offset : offset + length]`, or None if there is no such value. Pure.

    Opens only the frames that the range touches; `length` None means to the end.

    Args:
        piece_at: Gives the stored piece of an index, None if there is none. The buffers are not
            kept beyond this call.

    Raises:
        ValueDamaged: What was opened is not what was sealed, or a piece is missing.
    """
    index = offset // PIECE_BYTES
    piece = piece_at(index)
    if piece is None:
        return None if index == 0 else _beyond_the_end(piece_at, offset)
    header, total, nonce = _parse_header(piece)
    stop = total if length is None else min(total, offset + length)
    if offset >= stop:
        _check_piece(cipher, name, piece, index)
        return b""
    bound = name + header
    first_nonce = int.from_bytes(nonce)
    parts: list[bytes | memoryview] = []
    frame_index = offset // FRAME_BYTES
    frame_stop = -(-stop // FRAME_BYTES)
    while True:
        piece_size = sealed_piece_bytes(total, index)
        if len(piece) != piece_size:
            raise ValueDamaged("a piece is not as long as its value says")
        first_in_piece = index * FRAMES_PER_PIECE
        for frame in range(frame_index, min(frame_stop, first_in_piece + FRAMES_PER_PIECE)):
            at = _HEADER.size + (frame - first_in_piece) * _SEALED_FRAME_BYTES
            try:
                opened = cipher.decrypt(
                    _nonce_of(first_nonce, frame),
                    piece[at : min(at + _SEALED_FRAME_BYTES, piece_size)],
                    bound + _INDEX.pack(frame),
                )
            except InvalidTag:
                raise ValueDamaged("a frame does not open") from None
            parts.append(opened)
        index += 1
        frame_index = index * FRAMES_PER_PIECE
        if frame_index >= frame_stop:
            break
        following = piece_at(index)
        if following is None or bytes(following[: _HEADER.size]) != header:
            raise ValueDamaged("a piece is missing or belongs to another value")
        piece = following
    return _cut(parts, offset, stop)


def _cut(parts: list[bytes | memoryview], offset: int, stop: int) -> bytes:
    """Return the bytes [offset, stop) out of the frames that hold them. Pure."""
    first_frame_start = offset // FRAME_BYTES * FRAME_BYTES
    skip = offset - first_frame_start
    if len(parts) == 1:
        whole = bytes(parts[0])
        return whole[skip : stop - first_frame_start]
    last_frame_start = first_frame_start + (len(parts) - 1) * FRAME_BYTES
    # Cut the outer frames as views, so that the one join below is the only copy.
    parts[-1] = memoryview(parts[-1])[: stop - last_frame_start]
    parts[0] = memoryview(parts[0])[skip:]
    return b"".join(parts)


def _beyond_the_end(piece_at: Callable[[int], Buffer | None], offset: int) -> bytes | None:
    first = piece_at(0)
    if first is None:
        return None
    _, total, _ = _parse_header(first)
    if offset < total:
        raise ValueDamaged("a piece is missing")
    return b""


def _check_piece(cipher: AESGCM, name: bytes, piece: Buffer, index: int) -> None:
    """Open the first frame of `piece`, so that the length in its header can be believed."""
    header, total, nonce = _parse_header(piece)
    if len(piece) != sealed_piece_bytes(total, index):
        raise ValueDamaged("a piece is not as long as its value says")
    frame = index * FRAMES_PER_PIECE
    try:
        cipher.decrypt(
            _nonce_of(int.from_bytes(nonce), frame),
            piece[_HEADER.size : _HEADER.size + _SEALED_FRAME_BYTES],
            name + header + _INDEX.pack(frame),
        )
    except InvalidTag:
        raise ValueDamaged("a frame does not open") from None


def _parse_header(piece: Buffer) -> tuple[bytes, int, bytes]:
    if len(piece) < _HEADER.size:
        raise ValueDamaged("shorter than a header")
    header = bytes(piece[: _HEADER.size])
    version, length, nonce = _HEADER.unpack(header)
    if version != _VERSION or length > VALUE_BYTES_MAX:
        raise ValueDamaged("an unknown version or an impossible length")
    return header, length, nonce


def _nonce_of(first_nonce: int, frame_index: int) -> bytes:
    return ((first_nonce + frame_index) % _NONCE_MODULUS).to_bytes(NONCE_BYTES)
