"""How much an upload may send, and what a group of blocks is."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from backend_server.domain.receiving import UNANNOUNCED_BYTES_MAX, UploadStanding, check_receipt
from backend_server.domain.refusals import Refusal
from backend_server.protocol.blocks import encode_block, encode_delta
from backend_server.protocol.encoding import encode
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.frames import encode_frame
from backend_server.protocol.identity import ChunkId, DeviceId, DriveId, chunk_id_of
from backend_server.protocol.limits import CHUNK_SIZE_BYTES_MAX, MIB
from backend_server.protocol.transfer_messages import BlockHeader
from backend_server.services.block_arrival import (
    GROUP_WEIGHT_BYTES,
    Frame,
    parse_frame,
    read_groups,
    verify_and_seal,
)
from backend_server.services.drive_keys import DriveKeys

DEVICE = DeviceId(1)
CHUNK_KEY = b"k" * 32
KEYS = DriveKeys(DriveId("00000000000000aa"), CHUNK_KEY, {1: b"d" * 32})


def standing(*, allowed: int = 0, received: int = 0, unannounced: int = 0) -> UploadStanding:
    return UploadStanding(DEVICE, allowed, received, unannounced)


@pytest.mark.parametrize(
    ("before", "new_bytes", "code"),
    [
        (standing(allowed=100), 100, None),
        (standing(allowed=100, received=1), 100, ErrorCode.TOO_LARGE),
        (standing(allowed=100, received=100), 0, None),
        (standing(allowed=100, unannounced=UNANNOUNCED_BYTES_MAX), 100, None),
        (standing(), UNANNOUNCED_BYTES_MAX, None),
        (standing(), UNANNOUNCED_BYTES_MAX + 1, ErrorCode.BUSY),
        (standing(unannounced=UNANNOUNCED_BYTES_MAX), 1, ErrorCode.BUSY),
        (standing(unannounced=UNANNOUNCED_BYTES_MAX), 0, None),
    ],
)
def test_what_may_be_sent(before: UploadStanding, new_bytes: int, code: ErrorCode | None) -> None:
    if code is None:
        check_receipt(before, device_id=DEVICE, new_bytes=new_bytes)
        return
    with pytest.raises(Refusal) as refused:
        check_receipt(before, device_id=DEVICE, new_bytes=new_bytes)
    assert refused.value.code is code
    assert (refused.value.retry_after_s > 0) == (code is ErrorCode.BUSY)


def test_an_upload_of_another_device_is_not_continued() -> None:
    with pytest.raises(Refusal) as refused:
        check_receipt(standing(allowed=100), device_id=DeviceId(2), new_bytes=1)
    assert refused.value.code is ErrorCode.FORBIDDEN


def frame_of(plaintext: bytes, *, base: bytes = b"", chunk_id: bytes = b"") -> bytes:
    block = encode_delta(plaintext, base) if base else encode_block(plaintext)
    header = BlockHeader(
        chunk_id or chunk_id_of(plaintext, chunk_key=CHUNK_KEY),
        base=chunk_id_of(base, chunk_key=CHUNK_KEY) if base else b"",
    )
    return encode_frame(encode(header), block)


async def in_pieces(body: bytes, piece_bytes: int = 1000) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(body), piece_bytes):
        yield body[start : start + piece_bytes]


async def groups_of(body: bytes) -> list[list[Frame]]:
    async with aclosing(read_groups(in_pieces(body))) as groups:
        return [group async for group in groups]


async def test_small_blocks_of_large_chunks_fill_groups_by_what_they_stand_for() -> None:
    zeros = bytes(CHUNK_SIZE_BYTES_MAX)
    per_group = GROUP_WEIGHT_BYTES // CHUNK_SIZE_BYTES_MAX
    groups = await groups_of(frame_of(zeros) * (2 * per_group + 1))
    assert [len(group) for group in groups] == [per_group, per_group, 1]


async def test_a_delta_weighs_its_base_too() -> None:
    base = bytes(range(256)) * 64
    groups = await groups_of(frame_of(base + b"!", base=base) * 9)
    assert [len(group) for group in groups] == [8, 1]


async def test_an_empty_body_has_no_groups() -> None:
    assert await groups_of(b"") == []


@pytest.mark.parametrize(
    "body",
    [
        b"x",
        frame_of(b"content")[:-1],
        encode_frame(b"\xc1", encode_block(b"content")),
        encode_frame(encode(BlockHeader(b"short")), encode_block(b"content")),
        encode_frame(encode(BlockHeader(b"c" * 32)), b""),
        encode_frame(encode(BlockHeader(b"c" * 32)), b"\x01\x00\xff\xff\xff\xff"),
        encode_frame(encode(BlockHeader(b"c" * 32)), encode_delta(b"a", b"b")),
        b"\xff" * 8,
    ],
)
async def test_what_is_no_body_of_blocks_is_malformed(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        await groups_of(body)
    assert refused.value.code is ErrorCode.MALFORMED


async def test_a_body_is_bounded() -> None:
    with pytest.raises(Refusal) as refused:
        await groups_of(frame_of(b"incompressible" * 10) * 9000)
    assert refused.value.code is ErrorCode.TOO_LARGE

    async def endless() -> AsyncGenerator[bytes, None]:
        while True:
            yield bytes(1 * MIB)

    async with aclosing(read_groups(endless())) as groups:
        with pytest.raises(Refusal):
            await anext(groups)


def parsed(raw: bytes) -> Frame:
    header_length = int.from_bytes(raw[:4], "big")
    return parse_frame(raw[8 : 8 + header_length], raw[8 + header_length :])


def test_a_verified_block_is_whole_and_opens_to_its_chunk() -> None:
    base = bytes(range(256)) * 400
    frames = [parsed(frame_of(b"first")), parsed(frame_of(base + b"!", base=base))]
    bases = {chunk_id_of(base, chunk_key=CHUNK_KEY): base}
    verified = verify_and_seal(
        [*frames, frames[0]], chunk_key=CHUNK_KEY, bases=bases, seal=KEYS.seal
    )
    assert [block.length for block in verified] == [5, len(base) + 1]
    for block, plaintext in zip(verified, (b"first", base + b"!"), strict=True):
        opened = KEYS.open(block.chunk_id, block.sealed.sealed)
        assert opened == encode_block(plaintext)


@pytest.mark.parametrize(
    "frame",
    [
        parsed(frame_of(b"content", chunk_id=b"c" * 32)),
        parsed(frame_of(b"content" + b"!", base=b"content")),
        Frame(ChunkId(b"c" * 32), ChunkId(b""), encode_block(b"abc")[:-1], 3),
        Frame(chunk_id_of(b"", chunk_key=CHUNK_KEY), ChunkId(b""), encode_block(b""), 0),
    ],
)
def test_a_block_that_is_not_its_chunk_refuses_the_group(frame: Frame) -> None:
    good = parsed(frame_of(b"good"))
    with pytest.raises(Refusal) as refused:
        verify_and_seal([good, frame], chunk_key=CHUNK_KEY, bases={}, seal=KEYS.seal)
    assert refused.value.code is ErrorCode.CHUNK_MISMATCH
