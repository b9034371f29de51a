"""Laws of sealed values: a range is a slice, and no change goes unseen."""

from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from cache.errors import ValueDamaged
from cache.sealing import (
    FRAME_BYTES,
    NONCE_BYTES,
    PIECE_BYTES,
    SEALED_PIECE_BYTES_MAX,
    open_range,
    piece_count,
    seal,
    sealed_piece_bytes,
)

CIPHER = AESGCM(bytes(range(32)))
NONCE = b"\xff" * NONCE_BYTES  # the counter wraps at once

lengths = st.one_of(
    st.integers(0, 200),
    st.integers(0, 3 * PIECE_BYTES),
    st.sampled_from([FRAME_BYTES, PIECE_BYTES, 2 * PIECE_BYTES]).flatmap(
        lambda edge: st.integers(edge - 2, edge + 2)
    ),
)


def content(length: int) -> bytes:
    return (bytes(range(251)) * (length // 251 + 1))[:length]


def sealed(plaintext: bytes, name: bytes = b"name", nonce: bytes = NONCE) -> list[bytes]:
    scratch = bytearray(SEALED_PIECE_BYTES_MAX)
    return [bytes(piece) for piece in seal(CIPHER, name, plaintext, nonce, scratch=scratch)]


def opened(
    pieces: Sequence[bytes], offset: int = 0, length: int | None = None, name: bytes = b"name"
) -> bytes | None:
    return open_range(
        CIPHER,
        name,
        lambda index: pieces[index] if index < len(pieces) else None,
        offset,
        length,
    )


@given(length=lengths, offset=st.integers(0, 4 * PIECE_BYTES), size=lengths)
def test_a_range_is_the_slice(length: int, offset: int, size: int) -> None:
    plaintext = content(length)
    pieces = sealed(plaintext)

    assert opened(pieces, offset, size) == plaintext[offset : offset + size]
    assert opened(pieces) == plaintext


@given(length=lengths)
def test_pieces_have_the_sizes_that_are_told(length: int) -> None:
    pieces = sealed(content(length))

    assert len(pieces) == piece_count(length)
    assert [len(piece) for piece in pieces] == [
        sealed_piece_bytes(length, index) for index in range(len(pieces))
    ]
    assert max(map(len, pieces)) <= SEALED_PIECE_BYTES_MAX


@given(length=lengths, data=st.data())
def test_every_flipped_bit_is_detected(length: int, data: st.DataObject) -> None:
    pieces = sealed(content(length))
    at_piece = data.draw(st.integers(0, len(pieces) - 1))
    bit = data.draw(st.integers(0, 8 * len(pieces[at_piece]) - 1))
    changed = bytearray(pieces[at_piece])
    changed[bit // 8] ^= 1 << (bit % 8)
    pieces[at_piece] = bytes(changed)

    with pytest.raises(ValueDamaged):
        opened(pieces)


def test_every_flipped_bit_of_a_small_value_is_detected() -> None:
    (piece,) = sealed(b"few bytes")
    for bit in range(8 * len(piece)):
        changed = bytearray(piece)
        changed[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(ValueDamaged):
            opened([bytes(changed)])
        # A range that holds nothing must not believe the header either.
        with pytest.raises(ValueDamaged):
            opened([bytes(changed)], 1_000, 10)


@given(length=lengths, data=st.data())
def test_every_cut_is_detected(length: int, data: st.DataObject) -> None:
    pieces = sealed(content(length))
    at_piece = data.draw(st.integers(0, len(pieces) - 1))
    kept = data.draw(st.integers(0, len(pieces[at_piece]) - 1))

    with pytest.raises(ValueDamaged):
        opened([*pieces[:at_piece], pieces[at_piece][:kept], *pieces[at_piece + 1 :]])
    if at_piece > 0:
        with pytest.raises(ValueDamaged):
            opened(pieces[:at_piece])


def test_a_piece_elsewhere_is_detected() -> None:
    one = sealed(content(3 * PIECE_BYTES))
    other = sealed(bytes(3 * PIECE_BYTES), nonce=bytes(NONCE_BYTES))

    for foreign in (
        [one[1], one[0], one[2]],  # swapped
        [one[0], one[2], one[1]],
        [one[0], other[1], one[2]],  # of an older put
        [other[0], *one[1:]],
    ):
        with pytest.raises(ValueDamaged):
            opened(foreign)


@given(length=lengths)
def test_a_value_under_another_name_is_detected(length: int) -> None:
    with pytest.raises(ValueDamaged):
        opened(sealed(content(length), name=b"one"), name=b"two")


def test_a_swapped_frame_is_detected() -> None:
    (piece,) = sealed(content(2 * FRAME_BYTES))
    header, frames = piece[: -2 * (FRAME_BYTES + 16)], piece[-2 * (FRAME_BYTES + 16) :]
    half = len(frames) // 2

    with pytest.raises(ValueDamaged):
        opened([header + frames[half:] + frames[:half]])


def test_no_two_frames_share_a_nonce_or_ciphertext() -> None:
    pieces = sealed(bytes(4 * PIECE_BYTES))
    header_bytes = len(sealed(b"")[0]) - 16
    frames = [
        piece[at : at + FRAME_BYTES]
        for piece in pieces
        for at in range(header_bytes, len(piece), FRAME_BYTES + 16)
    ]

    assert len({frame[:64] for frame in frames}) == len(frames) == 12


def test_no_value_is_a_miss() -> None:
    assert opened([]) is None
    assert opened([], 10 * PIECE_BYTES, 5) is None
