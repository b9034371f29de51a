"""What travels badly is the caller's mistake, never the server's."""

from collections.abc import AsyncIterator

import pytest
import zstandard

from backend_server.protocol.blocks import encode_block
from backend_server.protocol.commit_messages import CommitAnswer, CommitRequest
from backend_server.protocol.encoding import decode, encode
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.frames import encode_frame
from backend_server.protocol.limits import (
    COMMIT_BODY_BYTES_MAX,
    JSON_BODY_BYTES_MAX,
    MIB,
)
from backend_server.protocol.tree_messages import ChangesPage
from server_kit import UNREAD_BODY, UPLOAD, World, code_of, config, prepared_config, world

__all__ = ["config", "prepared_config", "world"]


async def test_messages_travel_compressed_where_agreed(world: World) -> None:
    device = await world.log_in()
    operations = [device.create(number, b"file %d" % number) for number in range(1, 201)]
    body = encode(CommitRequest(0, list(operations)))
    small = zstandard.ZstdCompressor().compress(body)
    answer = await device.post(device.path("commits"), small, headers={"content-encoding": "zstd"})
    assert len(decode(answer.content, CommitAnswer).answers) == 200
    raw = await world.http.get(
        device.path("snapshot"),
        headers={**device.headers, "accept-encoding": "gzip, zstd;q=0.5"},
    )
    assert raw.headers["content-encoding"] == "zstd"
    assert len(decode(raw.content, ChangesPage).nodes) == 201
    plain = await world.http.get(
        device.path("snapshot"), headers={**device.headers, "accept-encoding": "zstd;q=0"}
    )
    assert "content-encoding" not in plain.headers
    tiny = await device.get("/v1/account")
    assert "content-encoding" not in tiny.headers


def bomb() -> bytes:
    return zstandard.ZstdCompressor().compress(bytes(COMMIT_BODY_BYTES_MAX + 1))


def lying_bomb() -> bytes:
    """Declares nothing, holds much."""
    return zstandard.ZstdCompressor(write_content_size=False).compress(bytes(64 * MIB))


MALFORMED = {
    "empty": (b"", {}),
    "not msgpack": (b"\xc1\xc1\xc1", {}),
    "another shape": (encode({"a": 1}), {}),
    "bad text": (b"\x82\xb0answered_through\x00\xaaoperations\xa2\xff\xfe", {}),
    "bad text in a key": (b"\x81\xa2\xff\xfe\x00", {}),
    "nested deep": (b"\x91" * 60_000, {}),
    "nested deep where nobody looks": (b"\x81\xa1x" + b"\x91" * 60_000, {}),
    "not zstd": (b"nonsense", {"content-encoding": "zstd"}),
    "half zstd": (
        zstandard.ZstdCompressor().compress(bytes(9000))[:-3],
        {"content-encoding": "zstd"},
    ),
    "zstd without a size": (lying_bomb(), {"content-encoding": "zstd"}),
    "unknown encoding": (b"", {"content-encoding": "br"}),
}


@pytest.mark.parametrize("kind", list(MALFORMED))
@pytest.mark.parametrize("call", ["commits", "uploads", "blocks/fetch", "manifests/fetch"])
async def test_malformed_messages_are_the_callers_mistake(
    world: World, call: str, kind: str
) -> None:
    device = await world.log_in()
    body, headers = MALFORMED[kind]
    answer = await device.post(device.path(call), body, headers=headers)
    assert code_of(answer) is ErrorCode.MALFORMED


@UNREAD_BODY
async def test_bodies_are_bounded_as_sent_and_as_decompressed(world: World) -> None:
    device = await world.log_in()
    packed = await device.post(device.path("commits"), bomb(), headers={"content-encoding": "zstd"})
    assert code_of(packed) is ErrorCode.TOO_LARGE

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield bytes(1 * MIB)

    streamed = await world.http.post(
        device.path("commits"), content=endless(), headers=device.headers
    )
    assert code_of(streamed) is ErrorCode.TOO_LARGE
    session = await world.http.post("/v1/sessions", content=b" " * (JSON_BODY_BYTES_MAX + 1))
    assert code_of(session) is ErrorCode.TOO_LARGE


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"email": "\xff", "password": "p", "device_name": "d"}',
        b'{"email": 1, "password": "p", "device_name": "d"}',
        b'{"email": "e", "password": "p", "device_name": ""}',
        b'{"email": "e", "password": "p", "device_name": "a\\u0000b"}',
        b"[" * 60_000,
        b'{"x": ' + b"[" * 60_000,
    ],
)
async def test_malformed_json_is_the_callers_mistake(world: World, body: bytes) -> None:
    answer = await world.http.post("/v1/sessions", content=body[:JSON_BODY_BYTES_MAX])
    assert code_of(answer) is ErrorCode.MALFORMED


@UNREAD_BODY
async def test_malformed_paths_and_queries_are_the_callers_mistake(world: World) -> None:
    device = await world.log_in()
    codes = [
        code_of(await device.get("/v1/nowhere")),
        code_of(await device.get(device.path("changes"))),
        code_of(await device.delete("/v1/devices/x")),
        code_of(await device.post(device.path("blocks"), b"")),
        code_of(await device.post(device.path("blocks?upload=zz"), b"")),
        code_of(await device.post(device.path("blocks?upload=00"), b"")),
        code_of(await device.post(device.path(f"blocks?upload={UPLOAD.hex()}"), b"\xff" * 64)),
    ]
    assert set(codes) <= {ErrorCode.MALFORMED, ErrorCode.NOT_FOUND}


# Requests that were once answered with 500, or with what is no `ErrorBody`


@UNREAD_BODY
@pytest.mark.parametrize("digits", ["9" * 20, "9" * 5000, "0" * 5000 + "9" * 20])
async def test_a_length_of_any_number_of_digits_is_too_large(world: World, digits: str) -> None:
    device = await world.log_in()
    headers = {"content-length": digits}
    answers = [
        await device.post("/v1/changes/poll", b"{}", headers=headers),
        await device.post(device.path(f"blocks?upload={UPLOAD.hex()}"), b"", headers=headers),
    ]
    assert {code_of(answer) for answer in answers} == {ErrorCode.TOO_LARGE}


@UNREAD_BODY
async def test_a_frame_whose_header_is_nested_deep_is_malformed(world: World) -> None:
    device = await world.log_in()
    header = b"\x94\xc4\x20" + bytes(32) + b"\xc4\x00\xa0" + b"\x91" * 60_000
    body = encode_frame(header, encode_block(b"x"))
    answer = await device.post(device.path(f"blocks?upload={UPLOAD.hex()}"), body)
    assert code_of(answer) is ErrorCode.MALFORMED


@pytest.mark.parametrize("number", [1 << 63, 10**30, -(10**30), -1, 0])
async def test_a_device_of_any_number_is_not_found(world: World, number: int) -> None:
    device = await world.log_in()
    assert code_of(await device.delete(f"/v1/devices/{number}")) is ErrorCode.NOT_FOUND


async def test_what_is_nowhere_is_told_like_everything(world: World) -> None:
    device = await world.log_in()
    assert code_of(await device.get("/schema/nowhere")) is ErrorCode.NOT_FOUND
    assert (await device.get("/schema/openapi.json")).status_code == 200
    answer = await device.post("/v1/account", b"")
    assert code_of(answer) is ErrorCode.METHOD_NOT_ALLOWED
    assert "GET" in answer.headers["allow"]
