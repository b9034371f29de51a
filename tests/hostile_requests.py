"""A small real drive, the requests that a real session makes of it, and what must hold after any.

Every example begins on a copy of one prepared data folder, so that what it finds can be found
again. The server runs on asyncio, as it does for people, but without sockets and threads.
"""

import asyncio
import copy
import shutil
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import msgspec
import zstandard
from sqlalchemy import Connection

from backend_server.app import Seams, ServerApp, build_app, in_process_seams
from backend_server.blocks.block_store import ObjectId
from backend_server.blocks.memory import MemoryStore
from backend_server.config import ServerConfig
from backend_server.protocol.blocks import encode_block, encode_delta
from backend_server.protocol.commit_messages import (
    CommitRequest,
    CreateNode,
    DentryChange,
    InlineBlock,
    KnownHead,
    NewContent,
    Operation,
    PlaceNodes,
    SetAttributes,
    SetContent,
)
from backend_server.protocol.encoding import decode, encode
from backend_server.protocol.errors import HTTP_STATUS, ErrorBody, ErrorCode
from backend_server.protocol.frames import FrameReader
from backend_server.protocol.identity import NODE_ID_MAX, ROOT_NODE, ChunkId
from backend_server.protocol.limits import MIB, UPLOAD_LEASE_S
from backend_server.protocol.manifests import (
    HOLE,
    Entry,
    Replacement,
    Splice,
    manifest_id_of,
    pack_entries,
    size_of,
)
from backend_server.protocol.transfer_messages import (
    ChunkLength,
    FetchGroup,
    FetchRequest,
    ManifestsRequest,
    ManifestWanted,
    UploadRequest,
    WantedChunk,
)
from backend_server.protocol.tree_messages import ChangesPage, NodeKind, PollRequest
from hurried import hurried
from server_kit import EMAIL, PASSWORD, UPLOAD, Clock, Device, World, log_in

MALLORY = "mallory@example.org"
QUOTA_BYTES = 8 * MIB
FOLDER, INNER, LARGE, SMALL, LINK, GONE, OUTSIDE, FRESH = (node << 20 for node in range(1, 9))
PLAINTEXTS = [bytes([n]) * 70_000 for n in range(1, 8)]
NEW_PLAINTEXT = b"new" * 30_000
EDIT_PLAINTEXT = b"edited" * 20_000
OTHER_UPLOAD = b"v" * 16


@dataclass(frozen=True, slots=True)
class Call:
    """A valid request. `body` travels as JSON, as msgpack or as frames, by `kind`; it is made of
    what those know, so that any part of it can be replaced. A frame is a header and a payload."""

    method: str
    path: str
    body: Any = None
    kind: str = "msgpack"
    params: tuple[tuple[str, str], ...] = ()

    def encoded(self, body: Any) -> bytes:
        """Return `body`, which may have been changed, as it travels."""
        if body is None:
            return b""
        if self.kind == "frames":
            return b"".join(map(_framed, body)) if isinstance(body, list) else encode(body)
        return msgspec.json.encode(body) if self.kind == "json" else encode(body)


def _framed(frame: Any) -> bytes:
    """Return header and payload as one frame, of whatever size and shape they are."""
    if not (isinstance(frame, list) and len(frame) == 2):
        return encode(frame)
    header = encode(frame[0])
    payload = frame[1] if isinstance(frame[1], bytes) else encode(frame[1])
    return len(header).to_bytes(4) + len(payload).to_bytes(4) + header + payload


def unframed(*frames: bytes) -> list[list[Any]]:
    """Return frames as headers and payloads."""
    return [
        [msgspec.msgpack.decode(header), bytes(payload)]
        for header, payload in FrameReader().feed(b"".join(frames))
    ]


class Endless(httpx.AsyncByteStream):
    """A body that begins as told and goes on, in pieces of `len_bytes`, while it is taken."""

    def __init__(self, beginning: bytes, *, len_bytes: int, bytes_max: int = 1 << 30) -> None:
        self._beginning = beginning
        self._piece = bytes(len_bytes)
        self._bytes_max = bytes_max
        self.sent_bytes = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        piece = self._beginning or self._piece
        while self.sent_bytes < self._bytes_max:
            self.sent_bytes += len(piece)
            yield piece
            piece = self._piece


class Attacked:
    """A server with two accounts, each with a drive, for one example."""

    def __init__(
        self, runner: asyncio.Runner, server: ServerApp, clock: Clock, devices: list[Device]
    ) -> None:
        self.run = runner.run
        self.clock = clock
        self.server = server
        self.http = World(server, clock, None).http
        self.ada, self.mallory = (_again(device, self.http) for device in devices)
        self.head_sequence = self._heads()

    def send(
        self,
        call: Call,
        body: "bytes | Endless",
        device: Device,
        *,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Send `body` as `call`; what comes back is an answer or a refusal with its code."""
        request = self.http.build_request(
            call.method,
            call.path,
            params=dict(call.params) or None,
            content=body,
            headers={**device.headers, **(headers or {})},
        )
        answer = self.run(self.http.send(request))
        check_answer(answer)
        return answer

    def check(self) -> None:
        """The server still answers, and the facts hold."""
        for device in (self.ada, self.mallory):
            page = self.run(device.get(device.path("snapshot")))
            assert page.status_code == 200
            assert not decode(page.content, ChangesPage).has_more
        self.check_facts()

    def check_facts(self) -> None:
        """The facts hold, whatever the devices are still allowed to do."""
        heads = self._heads()
        assert all(heads[drive] >= head for drive, head in self.head_sequence.items())
        self.head_sequence = heads
        self.run(self.server.database.read(check_facts))

    def check_leases(self) -> None:
        """No reservation outlives its lease."""
        self.clock.now_ms += round(UPLOAD_LEASE_S * 1000) + 1
        self.run(self.server.reap_uploads())
        reserved = self.run(
            self.server.database.read(
                lambda connection: rows(connection, "SELECT sum(quota_reserved) FROM drives")
            )
        )
        assert reserved == [(0,)]

    def _heads(self) -> dict[str, int]:
        found = self.run(
            self.server.database.read(
                lambda connection: rows(connection, "SELECT drive_id, head_sequence FROM drives")
            )
        )
        return dict(found)


def _again(device: Device, http: httpx.AsyncClient) -> Device:
    """Return the same log-in, on a server that has a copy of its folder."""
    again = Device(http, device.session)
    again.account, again.drive = device.account, device.drive
    return again


def rows(connection: Connection, query: str) -> list[Any]:
    return [tuple(row) for row in connection.exec_driver_sql(query)]


BROKEN_FACTS = {
    "used is the sum of what nodes are charged": """
        SELECT drive_id, quota_used FROM drives AS d WHERE quota_used !=
        (SELECT coalesce(sum(charged_bytes), 0) FROM nodes WHERE drive_id = d.drive_id)""",
    "reserved is the sum of what uploads reserve": """
        SELECT drive_id, quota_reserved FROM drives AS d WHERE quota_reserved !=
        (SELECT coalesce(sum(reserved_bytes), 0) FROM uploads WHERE drive_id = d.drive_id)""",
    "the quota is kept": "SELECT * FROM drives WHERE quota_used + quota_reserved > quota_limit",
    "a name leads from a folder to a node": """
        SELECT * FROM dentries AS e WHERE node_id IS NOT NULL AND NOT EXISTS
        (SELECT 1 FROM nodes AS p, nodes AS n WHERE p.drive_id = e.drive_id AND p.kind = 2
         AND p.node_id = e.parent AND n.drive_id = e.drive_id AND n.kind != 0
         AND n.node_id = e.node_id)""",
    "every node but the root can be reached from it": """
        WITH RECURSIVE reached (drive_id, node_id) AS (
            SELECT drive_id, node_id FROM nodes WHERE node_id = 1 AND kind = 2 UNION
            SELECT e.drive_id, e.node_id FROM reached AS r JOIN dentries AS e
            ON e.drive_id = r.drive_id AND e.parent = r.node_id AND e.node_id IS NOT NULL)
        SELECT * FROM nodes AS n WHERE kind != 0 AND NOT EXISTS (
            SELECT 1 FROM reached AS r WHERE r.drive_id = n.drive_id AND r.node_id = n.node_id)""",
    "a folder has one name, and the root none": """
        SELECT n.drive_id, n.node_id, count(e.node_id) AS names FROM nodes AS n
        LEFT JOIN dentries AS e ON e.drive_id = n.drive_id AND e.node_id = n.node_id
        WHERE n.kind = 2 GROUP BY 1, 2 HAVING names != (n.node_id != 1)""",
    "nothing is beyond the head": """
        SELECT drive_id FROM drives AS d WHERE head_sequence < max(
            (SELECT max(sequence) FROM nodes WHERE drive_id = d.drive_id),
            (SELECT coalesce(max(sequence), 0) FROM dentries WHERE drive_id = d.drive_id))""",
    "the journal has no gap": """
        SELECT drive_id FROM drives AS d WHERE head_sequence - 1 !=
        (SELECT count(*) FROM journal WHERE drive_id = d.drive_id)""",
    "names and sizes are in their bounds": """
        SELECT 1 FROM dentries WHERE length(name) NOT BETWEEN 1 AND 255
        OR name IN (x'2E', x'2E2E') OR instr(name, x'00') OR instr(name, x'2F') UNION
        SELECT 1 FROM nodes WHERE size_bytes NOT BETWEEN 0 AND 1 << 50""",
    "whoever has a manifest has its size": """
        SELECT n.node_id FROM nodes AS n LEFT JOIN manifests AS m
        ON m.drive_id = n.drive_id AND m.manifest_id = n.manifest_id
        WHERE n.kind = 1 AND n.manifest_id != x'' AND n.size_bytes IS NOT m.size_bytes""",
}


def check_facts(connection: Connection) -> None:
    """What holds of every drive, whatever anybody asked for."""
    for fact, query in BROKEN_FACTS.items():
        assert rows(connection, query) == [], fact


def check_answer(answer: httpx.Response) -> None:
    """A refusal has its code and the status of it, and nothing is the server's own mistake."""
    if answer.is_success:
        return
    body = msgspec.json.decode(answer.content, type=ErrorBody)
    assert answer.status_code == HTTP_STATUS[body.code]
    assert body.code is not ErrorCode.INTERNAL, body


# The drive that everything begins with --------------------------------------------------------


def listed(device: Device, plaintexts: list[bytes], *, hole: int = 0) -> list[Entry]:
    entries = [Entry(ChunkId(device.chunk_id(each)), len(each)) for each in plaintexts]
    return [*entries, Entry(HOLE, hole)] if hole else entries


def told(entries: list[Entry], *, upload_id: bytes = b"") -> NewContent:
    return NewContent(
        manifest_id_of(entries), size_of(entries), pack_entries(entries), upload_id=upload_id
    )


def node(number: int, name: bytes, node_id: int, kind: NodeKind, **fields: Any) -> CreateNode:
    defaults: dict[str, Any] = {"parent": ROOT_NODE, "group": 0, "mode": 0o700}
    times = {"uid": 0, "gid": 0, "mtime_ns": 1, "ctime_ns": 1}
    return CreateNode(
        number=number, name=name, node_id=node_id, kind=kind, **{**defaults, **times, **fields}
    )


def first_operations(device: Device) -> list[Operation]:
    """A folder in a folder, a large file, a small one of two names, a link, and one removed."""
    kind = NodeKind
    return [
        node(1, b"folder", FOLDER, kind.FOLDER),
        node(2, b"inner", INNER, kind.FOLDER, parent=FOLDER),
        node(3, b"large", LARGE, kind.FILE, content=told(listed(device, PLAINTEXTS, hole=9))),
        node(4, b"small", SMALL, kind.FILE, parent=INNER, content=device.inline(b"small")),
        node(5, b"link", LINK, kind.SYMLINK, target=b"large"),
        node(6, b"gone", GONE, kind.FILE),
        PlaceNodes(
            7,
            0,
            [DentryChange(ROOT_NODE, b"gone", GONE, 0), DentryChange(FOLDER, b"two", 0, SMALL)],
            2,
        ),
    ]


async def prepare(device: Device) -> None:
    """Fill the device's drive as every example finds it."""
    assert (await device.send(*PLAINTEXTS, EDIT_PLAINTEXT)).status_code == 200
    answer = await device.post(device.path("commits"), CommitRequest(0, first_operations(device)))
    assert answer.status_code == 200, answer.text
    announced = await device.announce(NEW_PLAINTEXT, growth_bytes=90_000, upload=OTHER_UPLOAD)
    assert announced.status_code == 200, announced.text


def _seams(clock: Clock, store: MemoryStore) -> Seams:
    return in_process_seams(
        clock_ms=clock.ms, clock_s=clock.s, store=lambda *_: store, executor=hurried
    )


@dataclass(frozen=True, slots=True)
class Prepared:
    """What examples are copies of."""

    config: ServerConfig
    objects: dict[ObjectId, bytes]
    devices: list[Device]

    @contextmanager
    def attacked(self, folder: Path) -> Iterator[Attacked]:
        """A server on a copy of the prepared folder, in `folder`."""
        data = folder / "example"
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(self.config.data, data)
        store = MemoryStore()
        store._objects.update(self.objects)
        config = replace(self.config, data=data, master_key_file=data / "master.key")
        with asyncio.Runner() as runner:
            clock = Clock()
            server = runner.run(build_app(config, seams=_seams(clock, store)))
            # A poll that has nothing to tell would wait; a server that goes down lets it go.
            server.begin_shutdown()
            attacked = Attacked(runner, server, clock, self.devices)
            try:
                yield attacked
            finally:
                runner.run(attacked.http.aclose())
                runner.run(server.aclose())


def prepare_folder(config: ServerConfig) -> Prepared:
    """Return the folder of `config` with both accounts and drives in it."""
    store = MemoryStore()
    clock = Clock()
    devices: list[Device] = []

    async def fill() -> None:
        server = await build_app(config, seams=_seams(clock, store))
        async with World(server, clock, store).http as http:
            for email in (EMAIL, MALLORY):
                await server.create_account(email, PASSWORD, quota_bytes=QUOTA_BYTES)
                devices.append(await log_in(http, email, PASSWORD))
                await prepare(devices[-1])
        await server.aclose()

    asyncio.run(fill())
    return Prepared(config, dict(store._objects), devices)


# What a session asks for -----------------------------------------------------------------------


def calls_of(device: Device, cursor: str) -> dict[str, Call]:
    """Return a valid request of every call, by name: the next one that `device` makes."""
    drive = device.drive.drive_id

    def drive_call(call: str, body: Any, kind: str = "msgpack", **params: str) -> Call:
        body = msgspec.msgpack.decode(encode(body))
        return Call("POST", f"/v1/drives/{drive}/{call}", body, kind, tuple(params.items()))

    def drive_get(call: str, **params: str) -> Call:
        return Call("GET", f"/v1/drives/{drive}/{call}", None, "", tuple(params.items()))

    def commit(*operations: Operation) -> Call:
        return drive_call("commits", CommitRequest(0, list(operations)))

    entries = listed(device, PLAINTEXTS, hole=9)
    manifest_id = manifest_id_of(entries)
    spliced = [*entries[:2], *listed(device, [EDIT_PLAINTEXT]), *entries[3:]]
    splice = Splice(manifest_id, (Replacement(2, 1, pack_entries(spliced[2:3])),))
    edited = NewContent(manifest_id_of(spliced), size_of(spliced), splice=splice)
    delta = device.frame(NEW_PLAINTEXT, base=PLAINTEXTS[0])
    saved = device.inline(b"small indeed")
    block = InlineBlock(
        saved.inline[0].chunk_id, encode_delta(b"small indeed", b"small"), device.chunk_id(b"small")
    )
    return {
        "log in": Call(
            "POST", "/v1/sessions",
            {"email": EMAIL, "password": PASSWORD, "device_name": "d"}, "json",
        ),
        "account": Call("GET", "/v1/account"),
        "devices": Call("GET", "/v1/devices"),
        "revoke": Call("DELETE", "/v1/devices/99"),
        "poll": Call(
            "POST", "/v1/changes/poll", msgspec.to_builtins(PollRequest({drive: cursor + "x"})),
            "json",
        ),
        "snapshot": drive_get("snapshot"),
        "snapshot after": drive_get("snapshot", after=cursor),
        "changes": drive_get("changes", cursor=cursor),
        "announce": drive_call(
            "uploads",
            UploadRequest(
                OTHER_UPLOAD, LARGE, 4, 70_000,
                [ChunkLength(device.chunk_id(each), len(each)) for each in PLAINTEXTS[:3]], 9,
            ),
        ),
        "blocks": drive_call(
            "blocks",
            unframed(device.frame(NEW_PLAINTEXT), device.frame(PLAINTEXTS[0]), delta),
            "frames", upload=OTHER_UPLOAD.hex(),
        ),
        "fetch blocks": drive_call(
            "blocks/fetch",
            FetchRequest([
                FetchGroup(LARGE, 4, [
                    WantedChunk(device.chunk_id(PLAINTEXTS[0])),
                    WantedChunk(device.chunk_id(PLAINTEXTS[1]), device.chunk_id(PLAINTEXTS[0])),
                ]),
                FetchGroup(SMALL, 5, [WantedChunk(device.chunk_id(b"small"))]),
            ]),
        ),
        "fetch manifests": drive_call(
            "manifests/fetch",
            ManifestsRequest([
                ManifestWanted(LARGE, 4, manifest_id),
                ManifestWanted(SMALL, 5, device.inline(b"small").manifest_id, manifest_id),
            ]),
        ),
        "create": commit(
            node(8, b"new", FRESH, NodeKind.FILE, content=device.inline(b"fresh")),
            node(9, b"dir", FRESH + 1, NodeKind.FOLDER, group=3),
            node(10, b"f", FRESH + 2, NodeKind.FILE, parent=FRESH + 1, group=3, content=edited),
        ),
        "edit": commit(
            SetContent(8, 0, SMALL, 5, saved, 9, 9),
            SetContent(9, 0, LARGE, 4, msgspec.structs.replace(edited, inline=[block]), 9, 9),
            SetAttributes(10, 0, FOLDER, 2, 0o755, 1, 1, 9, 9),
        ),
        "copy": commit(
            SetContent(8, 0, SMALL, 5, told(entries, upload_id=UPLOAD), 9, 9),
            SetContent(9, 0, SMALL, 9, NewContent(manifest_id, size_of(entries)), 9, 9),
        ),
        "place": commit(
            PlaceNodes(
                8, 0,
                [
                    DentryChange(ROOT_NODE, b"large", LARGE, FOLDER),
                    DentryChange(ROOT_NODE, b"folder", FOLDER, LARGE),
                    DentryChange(FOLDER, b"two", SMALL, 0),
                    DentryChange(INNER, b"link", 0, LINK, 7),
                ],
                9, [KnownHead(SMALL, 5)],
            ),
            PlaceNodes(9, 0, [DentryChange(ROOT_NODE, b"link", LINK, 0)], 9),
        ),
    }  # fmt: skip


# What is put in the place of what is right ------------------------------------------------------


def hostile_values(attacked: "Attacked", cursor: str) -> list[Any]:
    """Return values that fit nowhere, or somewhere else: ids of both drives, bounds, bombs."""
    ada, mallory = attacked.ada, attacked.mallory
    ids = [ROOT_NODE, FOLDER, INNER, LARGE, SMALL, LINK, GONE, OUTSIDE, FRESH, FRESH + 1]
    numbers = [0, -1, 2, 7, 8, 9, 10, 1 << 16, 1 << 31, 1 << 32, 1 << 50, (1 << 50) + 1, 1 << 53]
    bounds = [NODE_ID_MAX, NODE_ID_MAX - 1, 1 << 63, (1 << 64) - 1, -(1 << 63), 1 << 62]
    names = [b"", b".", b"..", b"a/b", b"a\0b", b"\xff\xfe", b"n" * 255, b"n" * 256, b"small"]
    chunks = [
        device.chunk_id(plaintext)
        for device in (ada, mallory)
        for plaintext in (*PLAINTEXTS[:2], b"small", NEW_PLAINTEXT, b"nobody's")
    ]
    manifests = [manifest_id_of(listed(device, PLAINTEXTS, hole=9)) for device in (ada, mallory)]
    packed = [
        pack_entries([Entry(HOLE, 1 << 50)] * 3),
        pack_entries([Entry(HOLE, 1)]),
        pack_entries(listed(mallory, PLAINTEXTS[:2])),
        pack_entries([Entry(ChunkId(chunks[0]), 69_999)]),
        (1 << 63).to_bytes(8) + chunks[0],
        bytes(40),
        bytes(39),
    ]
    blocks = [
        b"",
        b"\1",
        b"\1\0\0\0\0\0",
        b"\1\1\xff\xff\xff\xff" + bytes(50),
        b"\1\2\0\x10\0\0" + encode_block(bytes(1 << 20))[6:],
        encode_block(bytes(1 << 20)),
        encode_block(PLAINTEXTS[0]),
        lying_bomb(declared=5),
        lying_bomb(declared=1 << 20),
    ]
    odd: list[Any] = [None, True, 1.5, "text", "", [], {}, [[]], {"a": 1}, cursor, "0" * 16]
    others = [HOLE, OTHER_UPLOAD, UPLOAD, b"x" * 16, mallory.drive.drive_id, b"\0" * 33]
    return [
        *ids, *numbers, *bounds, *names, *chunks, *manifests, *packed, *blocks, *odd, *others,
    ]  # fmt: skip


@cache
def lying_bomb(*, declared: int) -> bytes:
    """Return a block that says `declared` bytes, whose frame says so too, and holds far more."""
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(64 * MIB))
    # A single-segment frame's header: descriptor, then four bytes of content size. The blocks of
    # zstd that follow know nothing of it.
    header = b"\x28\xb5\x2f\xfd" + b"\xa0" + declared.to_bytes(4, "little")
    return struct.pack(">BBI", 1, 1, declared) + header + frame[6:]


def places_in(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of every part of a JSON-like value, the outermost first."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        container = waiting.pop(0)
        if isinstance(container, list):
            keys: list[Any] = list(range(len(container)))
        elif isinstance(container, dict):
            keys = list(container)
        else:
            continue
        found += [(container, key) for key in keys]
        waiting += [container[key] for key in keys]
    return found


def changed(body: Any, change: tuple[int, int, str], values: list[Any]) -> Any:
    """Return `body` with one part of it replaced, removed, repeated or put into another."""
    place, which, how = change
    value = copy.deepcopy(values[which % len(values)])
    places = places_in(body)
    if not places:
        return value
    container, key = places[place % len(places)]
    match how:
        case "remove":
            del container[key]
        case "repeat" if isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        case "append" if isinstance(container, list):
            container.append(value)
        case "wrap":
            container[key] = [container[key]]
        case _:
            container[key] = value
    return body
