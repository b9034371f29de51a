"""Whatever arrives, the server answers it, refuses it by a named code, and stays in order."""

import copy
import tracemalloc
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from backend_server.config import ServerConfig
from backend_server.protocol.blocks import BlockMalformed, decode_block
from backend_server.protocol.commit_messages import CommitAnswer, Outcome
from backend_server.protocol.encoding import decode
from backend_server.protocol.limits import (
    CHUNK_SIZE_BYTES_MAX,
    COMMIT_BODY_BYTES_MAX,
    KIB,
    MIB,
)
from backend_server.protocol.transfer_messages import ManifestsAnswer, UploadAnswer
from backend_server.protocol.tree_messages import ChangesPage
from hostile_requests import (
    Attacked,
    Call,
    Endless,
    Prepared,
    calls_of,
    changed,
    hostile_values,
    lying_bomb,
    prepare_folder,
    unframed,
)
from server_kit import UNREAD_BODY, prepared_config

__all__ = ["prepared_config"]

pytestmark = UNREAD_BODY

CALLS = [
    "log in", "account", "devices", "revoke", "poll", "snapshot", "snapshot after", "changes",
    "announce", "blocks", "fetch blocks", "fetch manifests", "create", "edit", "copy", "place",
]  # fmt: skip
WITH_BODY = [name for name in CALLS if name not in ("account", "devices", "revoke", "snapshot",
                                                    "snapshot after", "changes")]  # fmt: skip
BODY_PIECE_BYTES = 1 * MIB
OF_STRUCTURE = settings(
    max_examples=max(1, settings().max_examples // 2),  # each begins with a server of its own
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def prepared(prepared_config: ServerConfig) -> Prepared:
    return prepare_folder(prepared_config)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


def cursor_of(attacked: Attacked) -> str:
    device = attacked.ada
    answer = attacked.run(device.get(device.path("snapshot")))
    return decode(answer.content, ChangesPage).cursor


# What is replaced where, by what and how; numbers are taken modulo what there is.
CHANGE = st.tuples(
    st.integers(0, 200),
    st.integers(0, 120),
    st.sampled_from(["replace", "replace", "replace", "remove", "repeat", "wrap", "append"]),
)


@OF_STRUCTURE
@given(
    attempts=st.lists(
        st.tuples(st.sampled_from(WITH_BODY), st.lists(CHANGE, min_size=1, max_size=3)),
        min_size=1,
        max_size=8,
    )
)
def test_requests_with_parts_replaced(
    prepared: Prepared, folder: Path, attempts: list[tuple[str, list[tuple[int, int, str]]]]
) -> None:
    with prepared.attacked(folder) as attacked:
        cursor = cursor_of(attacked)
        calls, values = calls_of(attacked.ada, cursor), hostile_values(attacked, cursor)
        for name, changes in attempts:
            call = calls[name]
            body = copy.deepcopy(call.body)
            for change in changes:
                body = changed(body, change, values)
            attacked.send(call, encoded(call, body), attacked.ada)
        attacked.check()
        attacked.check_leases()


def encoded(call: Call, body: Any) -> bytes:
    """Return `body` as it travels; what cannot travel that way, as itself."""
    try:
        return call.encoded(body)
    except (TypeError, ValueError, OverflowError):
        return repr(body).encode()


@pytest.mark.parametrize("name", CALLS)
def test_what_is_changed_was_right(prepared: Prepared, folder: Path, name: str) -> None:
    with prepared.attacked(folder) as attacked:
        call = calls_of(attacked.ada, cursor_of(attacked))[name]
        answer = attacked.send(call, call.encoded(call.body), attacked.ada)
        assert answer.is_success or name == "revoke"
        if call.path.endswith("commits"):
            outcomes = {each.outcome for each in decode(answer.content, CommitAnswer).answers}
            assert outcomes == {Outcome.APPLIED}
        attacked.check()
        attacked.check_leases()


# What is done to a body as it travels: (what, where, with). Places are taken modulo its length.
DAMAGE = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, 100_000), st.just(b"")),
    st.tuples(st.just("flip"), st.integers(0, 100_000), st.just(b"")),
    st.tuples(st.just("insert"), st.integers(0, 100_000), st.binary(min_size=1, max_size=12)),
    st.tuples(st.just("overwrite"), st.integers(0, 100_000), st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("append"), st.just(0), st.binary(min_size=1, max_size=64)),
)


def damaged(body: bytes, how: str, where: int, data: bytes) -> bytes:
    """Return `body` as a broken or an evil network may change it."""
    at = where % (len(body) + 1)
    match how:
        case "cut":
            return body[:at]
        case "flip":
            bit = where % (8 * len(body) or 1)
            return bytes(
                byte ^ (1 << bit % 8 if n == bit // 8 else 0) for n, byte in enumerate(body)
            )
        case "insert":
            return body[:at] + data + body[at:]
        case "overwrite":
            return body[:at] + data + body[at + len(data) :]
        case _:
            return body + data


@OF_STRUCTURE
@given(
    attempts=st.lists(
        st.tuples(st.sampled_from(WITH_BODY), st.lists(DAMAGE, min_size=1, max_size=3)),
        min_size=1,
        max_size=8,
    )
)
def test_requests_damaged_on_the_way(
    prepared: Prepared, folder: Path, attempts: list[tuple[str, list[tuple[str, int, bytes]]]]
) -> None:
    with prepared.attacked(folder) as attacked:
        calls = calls_of(attacked.ada, cursor_of(attacked))
        for name, damages in attempts:
            body = calls[name].encoded(calls[name].body)
            for damage in damages:
                body = damaged(body, *damage)
            attacked.send(calls[name], body, attacked.ada)
        attacked.check()


HEADERS = st.dictionaries(
    st.sampled_from(
        ["authorization", "content-type", "content-encoding", "accept-encoding", "accept", "cookie",
         "content-length", "range", "if-none-match", "expect", "x-http-method-override"]
    ),
    st.one_of(
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
        st.sampled_from(
            ["Bearer", "bearer mfs_" + "A" * 43, "Bearer " + "x" * 70_000, "Basic YTpi", "gzip",
             "zstd", "ZSTD", "zstd;q=0", "identity, zstd", "9" * 5000, "-1", "0x10", "1e9",
             "multipart/form-data; boundary=", "application/json; charset=utf-7", "text/html"]
        ),
    ),
    max_size=4,
)  # fmt: skip


@OF_STRUCTURE
@example(attempts=[("log in", {"content-length": "9" * 5000}, None)])
@given(
    attempts=st.lists(
        st.tuples(st.sampled_from(CALLS), HEADERS, st.none() | st.binary(max_size=300)),
        min_size=1,
        max_size=8,
    )
)
def test_requests_with_headers_and_bodies_of_any_kind(
    prepared: Prepared,
    folder: Path,
    attempts: list[tuple[str, dict[str, str], bytes | None]],
) -> None:
    with prepared.attacked(folder) as attacked:
        calls = calls_of(attacked.ada, cursor_of(attacked))
        for name, headers, body in attempts:
            valid = calls[name].encoded(calls[name].body)
            attacked.send(
                calls[name], valid if body is None else body, attacked.ada, headers=headers
            )
        attacked.check()


PARAMETERS = st.text(max_size=70) | st.sampled_from(["0" * 64, "A" * 64, "-" * 64, "=" * 64])


@OF_STRUCTURE
@example(attempts=[("revoke", str(1 << 63), 0)])
@given(
    attempts=st.lists(
        st.tuples(st.sampled_from(CALLS), PARAMETERS, st.integers(0, 3)), min_size=1, max_size=8
    )
)
def test_requests_with_any_drive_cursor_upload_or_device(
    prepared: Prepared, folder: Path, attempts: list[tuple[str, str, int]]
) -> None:
    with prepared.attacked(folder) as attacked:
        calls = calls_of(attacked.ada, cursor_of(attacked))
        drive_id = attacked.ada.drive.drive_id
        for name, text, place in attempts:
            call = calls[name]
            params = tuple((key, text) for key, _ in call.params)
            segment = quote(text, safe="")
            path = call.path.replace(drive_id, segment).replace("/99", f"/{segment}")
            call = replace(call, params=params) if place else replace(call, path=path)
            attacked.send(call, call.encoded(call.body), attacked.ada)
        attacked.check_facts()  # the device may have revoked itself


# A stranger ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in CALLS if name != "log in"])
def test_a_stranger_is_told_what_is_told_of_no_drive(
    prepared: Prepared, folder: Path, name: str
) -> None:
    """Whoever is no member learns nothing of a drive, its nodes, chunks, uploads or cursors."""
    with prepared.attacked(folder) as attacked:
        call = calls_of(attacked.ada, cursor_of(attacked))[name]
        drive_id, nowhere = attacked.ada.drive.drive_id, "0" * 16
        elsewhere = replace(
            call, path=call.path.replace(drive_id, nowhere), body=renamed(call.body, drive_id)
        )
        told, told_of_none = (
            attacked.send(each, each.encoded(each.body), attacked.mallory)
            for each in (call, elsewhere)
        )
        assert told.status_code == told_of_none.status_code
        if "drives" in call.path:
            assert told.status_code == HTTPStatus.NOT_FOUND
            assert told.content == told_of_none.content
        attacked.check()


def renamed(body: Any, drive_id: str) -> Any:
    """Return the body of a poll with another drive in it."""
    if isinstance(body, dict) and "cursors" in body:
        return {"cursors": dict.fromkeys(["0" * 16], body["cursors"][drive_id])}
    return body


@pytest.mark.parametrize("name", ["announce", "blocks", "fetch blocks", "fetch manifests", "copy"])
def test_what_is_in_anothers_drive_is_in_no_own_one(
    prepared: Prepared, folder: Path, name: str
) -> None:
    """Ids of another drive's chunks, manifests and nodes open nothing in one's own."""
    with prepared.attacked(folder) as attacked:
        call = calls_of(attacked.ada, cursor_of(attacked))[name]
        drives = attacked.ada.drive.drive_id, attacked.mallory.drive.drive_id
        answer = attacked.send(
            replace(call, path=call.path.replace(*drives)),
            call.encoded(call.body),
            attacked.mallory,
        )
        match name:
            case "announce":
                assert decode(answer.content, UploadAnswer).missing == [0, 1, 2]
            case "blocks":
                assert not answer.is_success
            case "fetch blocks":
                headers = [header for header, _ in unframed(answer.content)]
                assert {header[2] for header in headers} == {"missing"}
            case "fetch manifests":
                manifests = decode(answer.content, ManifestsAnswer).manifests
                assert {each.error for each in manifests} == {"manifest_unknown"}
            case _:
                outcomes = [each.outcome for each in decode(answer.content, CommitAnswer).answers]
                assert outcomes == [Outcome.MISSING, Outcome.STALE]
        attacked.check()


# Bombs and endless bodies -----------------------------------------------------------------------

BLOCK_BOMBS = [lying_bomb(declared=5), lying_bomb(declared=1 << 20), lying_bomb(declared=1 << 31)]


@pytest.mark.parametrize("bomb", BLOCK_BOMBS)
@pytest.mark.parametrize("base", [None, b"base"])
def test_a_bomb_is_refused_before_it_is_more_than_a_chunk(bomb: bytes, base: bytes | None) -> None:
    if base is not None:
        bomb = bomb[:1] + b"\2" + bomb[2:]
    tracemalloc.start()
    with pytest.raises(BlockMalformed):
        decode_block(bomb, base=base)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes <= CHUNK_SIZE_BYTES_MAX + 256 * KIB


@pytest.mark.parametrize("name", WITH_BODY)
def test_a_body_without_end_is_refused_at_its_bound(
    prepared: Prepared, folder: Path, name: str
) -> None:
    with prepared.attacked(folder) as attacked:
        call = calls_of(attacked.ada, cursor_of(attacked))[name]
        body = Endless(call.encoded(call.body), len_bytes=BODY_PIECE_BYTES)
        answer = attacked.send(call, body, attacked.ada)
        assert not answer.is_success
        assert body.sent_bytes <= COMMIT_BODY_BYTES_MAX + 2 * BODY_PIECE_BYTES
        attacked.check()


@pytest.mark.parametrize("name", ["log in", "create"])
def test_a_body_in_single_bytes_takes_no_more_memory_than_in_one(
    prepared: Prepared, folder: Path, name: str
) -> None:
    with prepared.attacked(folder) as attacked:
        call = calls_of(attacked.ada, cursor_of(attacked))[name]
        body = Endless(b"", len_bytes=2, bytes_max=60_000)
        tracemalloc.start()
        attacked.send(call, body, attacked.ada)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 1 * MIB
        attacked.check()
