"""Blocks in and out, over the whole server in process."""

import os

from backend_server.blocks.memory import MemoryStore
from backend_server.config import ServerConfig
from backend_server.protocol.blocks import Codec, codec_of, decode_block, encode_block
from backend_server.protocol.encoding import decode, encode
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.frames import encode_frame
from backend_server.protocol.limits import (
    BLOCKS_BODY_BYTES_MAX,
    FETCH_CHUNKS_MAX,
    MIB,
    UPLOAD_LEASE_S,
)
from backend_server.protocol.transfer_messages import (
    BlockHeader,
    BlocksAnswer,
    FetchGroup,
    FetchRequest,
    UploadAnswer,
    WantedChunk,
)
from server_kit import (
    NODE,
    UPLOAD,
    World,
    code_of,
    config,
    open_world,
    prepared_config,
    world,
)

__all__ = ["config", "prepared_config", "world"]


async def test_blocks_are_kept_and_come_back_in_the_order_asked(world: World) -> None:
    device = await world.log_in()
    chunks = [os.urandom(70_000), b"text " * 20_000, os.urandom(1 * MIB), b"x"]
    answer = await device.announce(*chunks, growth_bytes=sum(map(len, chunks)))
    assert decode(answer.content, UploadAnswer) == UploadAnswer([0, 1, 2, 3], UPLOAD_LEASE_S)
    sent = await device.send(*chunks)
    assert decode(sent.content, BlocksAnswer).stored_count == 4
    asked = [*reversed(chunks), chunks[1]]
    assert await device.fetch_plain(*asked) == asked
    again = await device.announce(*chunks)
    assert decode(again.content, UploadAnswer).missing == []


async def test_what_is_stored_is_sealed(world: World) -> None:
    device = await world.log_in()
    plaintext = b"a very private sentence, " * 4000
    await device.send(plaintext)
    stored = [object_id async for object_id in world.store.list_ids(device.drive.drive_id)]  # type: ignore[arg-type]
    assert len(stored) == 1
    sealed = world.store._objects[stored[0]]
    assert b"private" not in sealed
    assert encode_block(plaintext) not in sealed


async def test_sending_again_changes_nothing_and_costs_nothing(world: World) -> None:
    device = await world.log_in()
    chunks = [os.urandom(100_000) for _ in range(3)]
    await device.announce(*chunks, growth_bytes=300_000)
    first = await device.send(*chunks)
    objects = dict(world.store._objects)
    for _ in range(3):
        assert (await device.send(*chunks)).content == first.content
    assert world.store._objects == objects


async def test_two_uploads_of_one_chunk_leave_one_object(world: World) -> None:
    device = await world.log_in()
    chunk = os.urandom(100_000)
    await device.send(chunk, upload=b"1" * 16)
    await device.send(chunk, upload=b"2" * 16)
    assert len(world.store._objects) == 1


async def test_a_delta_is_stored_whole(world: World) -> None:
    device = await world.log_in()
    base = os.urandom(200_000)
    edited = base[:1000] + b"edited" + base[1006:]
    await device.send(base)
    frame = device.frame(edited, base)
    assert len(frame) < 1000
    answer = await device.post(device.path(f"blocks?upload={UPLOAD.hex()}"), frame)
    assert answer.status_code == 200
    [(header, block)] = await device.fetch(WantedChunk(device.chunk_id(edited)))
    assert header.base == b""
    assert codec_of(block) is not Codec.ZSTD_DELTA
    assert decode_block(block) == edited


async def test_a_delta_against_a_chunk_that_is_not_there_is_refused(world: World) -> None:
    device = await world.log_in()
    frame = device.frame(b"edited" * 1000, b"original" * 1000)
    answer = await device.post(device.path(f"blocks?upload={UPLOAD.hex()}"), frame)
    assert code_of(answer) is ErrorCode.CHUNK_MISMATCH


async def test_have_turns_an_answer_into_a_delta_where_that_saves(world: World) -> None:
    device = await world.log_in()
    base = os.urandom(200_000)
    edited = base[:1000] + b"edited" + base[1006:]
    other = os.urandom(200_000)
    await device.send(base, edited, other)
    have = device.chunk_id(base)
    frames = await device.fetch(
        WantedChunk(device.chunk_id(edited), have),
        WantedChunk(device.chunk_id(other), have),
        WantedChunk(device.chunk_id(edited), b"?" * 32),
    )
    (delta_header, delta), (other_header, whole), (unknown_header, unknown) = frames
    assert delta_header.base == have
    assert len(delta) < 1000
    assert decode_block(delta, base=base) == edited
    assert other_header.base == unknown_header.base == b""
    assert decode_block(whole) == other
    assert decode_block(unknown) == edited


async def test_damaged_and_missing_objects_are_errors_of_their_frames_only(world: World) -> None:
    device = await world.log_in()
    chunks = [os.urandom(80_000) for _ in range(3)]
    await device.send(*chunks)
    by_chunk = {object_id.chunk_id: object_id for object_id in world.store._objects}
    world.store.damage(by_chunk[device.chunk_id(chunks[0])])  # type: ignore[index]
    await world.store.delete([by_chunk[device.chunk_id(chunks[1])]])  # type: ignore[index]
    wanted = [WantedChunk(device.chunk_id(each)) for each in (*chunks, b"never sent")]
    frames = await device.fetch(*wanted)
    assert [header.chunk_id for header, _ in frames] == [each.chunk_id for each in wanted]
    assert [header.error for header, _ in frames] == ["damaged", "missing", "", "missing"]
    assert [block for _, block in frames[:2]] == [b"", b""]
    assert decode_block(frames[2][1]) == chunks[2]


async def test_a_poisoned_block_is_refused_and_not_kept(world: World) -> None:
    device = await world.log_in()
    header = BlockHeader(device.chunk_id(b"what it says"))
    frame = encode_frame(encode(header), encode_block(b"what it is"))
    answer = await device.post(device.path(f"blocks?upload={UPLOAD.hex()}"), frame)
    assert code_of(answer) is ErrorCode.CHUNK_MISMATCH
    assert world.store._objects == {}


async def test_more_than_was_announced_is_refused(world: World) -> None:
    device = await world.log_in()
    announced, more = os.urandom(100_000), os.urandom(100_000)
    await device.announce(announced, growth_bytes=100_000)
    assert code_of(await device.send(announced, more)) is ErrorCode.TOO_LARGE
    assert (await device.send(announced)).status_code == 200
    assert code_of(await device.send(more)) is ErrorCode.TOO_LARGE


async def test_blocks_may_come_before_their_announcement_but_not_without_end(
    world: World,
) -> None:
    device = await world.log_in()
    chunk = os.urandom(1 * MIB)
    assert (await device.send(chunk)).status_code == 200
    answer = await device.announce(chunk, growth_bytes=len(chunk))
    assert decode(answer.content, UploadAnswer).missing == []
    codes = []
    for number in range(80):
        upload = number.to_bytes(16, "big")
        answer = await device.send(bytes([number]) * (1 * MIB), upload=upload)
        codes.append(None if answer.status_code == 200 else code_of(answer))
    assert codes == [None] * 64 + [ErrorCode.BUSY] * 16


async def test_an_upload_of_another_device_is_refused(world: World) -> None:
    first, second = await world.log_in(), await world.log_in()
    await first.announce(b"x" * 100, growth_bytes=100)
    assert code_of(await second.send(b"x" * 100)) is ErrorCode.FORBIDDEN


async def test_too_much_at_once_is_refused(world: World) -> None:
    device = await world.log_in()
    path = device.path(f"blocks?upload={UPLOAD.hex()}")
    too_large = await device.post(path, bytes(BLOCKS_BODY_BYTES_MAX + 1))
    assert code_of(too_large) is ErrorCode.TOO_LARGE
    many = [WantedChunk(b"c" * 32)] * (FETCH_CHUNKS_MAX + 1)
    fetch = await device.post(
        device.path("blocks/fetch"), FetchRequest([FetchGroup(NODE, 1, many)])
    )
    assert code_of(fetch) is ErrorCode.TOO_LARGE
    chunk = bytes(1 * MIB)
    await device.send(chunk)
    fat = [WantedChunk(device.chunk_id(chunk))] * 17
    fetch = await device.post(device.path("blocks/fetch"), FetchRequest([FetchGroup(NODE, 1, fat)]))
    assert code_of(fetch) is ErrorCode.TOO_LARGE


async def test_a_full_store_refuses_and_nothing_is_lost_or_half_there(
    config: ServerConfig,
) -> None:
    store = MemoryStore(capacity_bytes=250_000)
    async with open_world(config, store=store) as world:
        device = await world.log_in()
        kept, more = os.urandom(100_000), [os.urandom(100_000) for _ in range(2)]
        assert (await device.send(kept)).status_code == 200
        full = await device.send(*more)
        assert code_of(full) is ErrorCode.STORAGE_FULL
        assert int(full.headers["retry-after"]) > 0
        assert len(store._objects) == 1
        assert await device.fetch_plain(kept) == [kept]
        assert (await device.fetch(WantedChunk(device.chunk_id(more[0]))))[0][0].error == "missing"
        answer = await device.announce(*more, growth_bytes=200_000)
        assert decode(answer.content, UploadAnswer).missing == [0, 1]
