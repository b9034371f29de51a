"""Frames survive any way in which the network cuts them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_server.protocol.frames import FrameMalformed, FrameReader, encode_frame, joined
from backend_server.protocol.limits import BLOCK_SIZE_BYTES_MAX, FRAME_HEADER_BYTES_MAX

FRAMES = st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=200)), max_size=8)
CUTS = st.lists(st.integers(0, 2000), max_size=12)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[start:end] for start, end in pairwise(edges)]


def read(reader: FrameReader, parts: list[bytes]) -> list[tuple[bytes, bytes]]:
    return [(header, bytes(payload)) for part in parts for header, payload in reader.feed(part)]


@given(FRAMES, CUTS)
def test_what_was_framed_comes_out_however_it_was_cut(
    frames: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(encode_frame(header, payload) for header, payload in frames)
    reader = FrameReader()

    assert read(reader, pieces(stream, cuts)) == frames
    reader.finish()


@given(FRAMES.filter(bool), CUTS, st.data())
def test_a_stream_that_ends_inside_a_frame_is_malformed(
    frames: list[tuple[bytes, bytes]], cuts: list[int], data: st.DataObject
) -> None:
    encoded = [encode_frame(header, payload) for header, payload in frames]
    lost = data.draw(st.integers(1, len(encoded[-1]) - 1))
    reader = FrameReader()

    assert read(reader, pieces(b"".join(encoded)[:-lost], cuts)) == frames[:-1]
    with pytest.raises(FrameMalformed):
        reader.finish()


@given(FRAMES, CUTS)
def test_a_frame_is_given_as_soon_as_its_last_byte_is_there(
    frames: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    reader = FrameReader()
    for header, payload in frames:
        encoded = encode_frame(header, payload)
        for part in pieces(encoded[:-1], cuts):
            assert read(reader, [part]) == []
        assert read(reader, [encoded[-1:]]) == [(header, payload)]


def test_a_frame_that_comes_byte_by_byte_takes_little_more_memory_than_it_has() -> None:
    reader = FrameReader()
    payload = bytes(200_000)
    frames = []
    for byte in encode_frame(b"header", payload):
        frames += read(reader, [bytes([byte])])
        assert len(reader._pieces) < 40
    assert frames == [(b"header", payload)]


@given(st.lists(st.binary(max_size=50), max_size=30), st.integers(1, 200))
def test_parts_are_joined_into_pieces_of_a_size(parts: list[bytes], bytes_min: int) -> None:
    pieces = list(joined(parts, bytes_min=bytes_min))
    assert b"".join(pieces) == b"".join(parts)
    assert all(len(piece) >= bytes_min for piece in pieces[:-1])
    assert all(pieces)


@pytest.mark.parametrize(
    ("header_length", "payload_length"),
    [(FRAME_HEADER_BYTES_MAX + 1, 0), (0, BLOCK_SIZE_BYTES_MAX + 1), (2**32 - 1, 2**32 - 1)],
)
def test_a_length_beyond_its_bound_is_refused_before_anything_is_held(
    header_length: int, payload_length: int
) -> None:
    lengths = header_length.to_bytes(4) + payload_length.to_bytes(4)
    with pytest.raises(FrameMalformed):
        read(FrameReader(), [lengths[:3], lengths[3:]])
