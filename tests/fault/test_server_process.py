"""The real server process: killed, stopped, over TLS, and started wrongly."""

import json
import os
import signal
import socket
import sqlite3
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import pytest
import trio

from backend_server.protocol.commit_messages import NewContent, Outcome
from backend_server.protocol.encoding import decode
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.manifests import Entry, manifest_id_of, pack_entries
from backend_server.protocol.tree_messages import ChangesPage, PollAnswer, PollRequest
from harness.certificates import make_certificate
from harness.fixtures import NewServer
from harness.server import Account, Server
from server_kit import UNREAD_BODY, Device, code_of, log_in

KILLS = 6


@asynccontextmanager
async def connected(server: Server, account: Account) -> AsyncIterator[Device]:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=30.0) as http:
        yield await log_in(http, account.email, account.password)


async def names_in(device: Device) -> set[bytes]:
    page = decode((await device.get(device.path("snapshot"))).content, ChangesPage)
    assert not page.has_more
    return {dentry.name for dentry in page.dentries}


class Ledger:
    """What the server said that it has."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.names: list[bytes] = []
        self._grew = trio.Event()

    def add(self, *, chunks: list[bytes] = [], names: list[bytes] = []) -> None:  # noqa: B006
        self.chunks += chunks
        self.names += names
        self._grew.set()
        self._grew = trio.Event()

    async def reaches(self, count: int) -> None:
        while self.count < count:
            await self._grew.wait()

    @property
    def count(self) -> int:
        return len(self.chunks) + len(self.names)


async def write_until_killed(device: Device, ledger: Ledger, first_number: int) -> None:
    """Send blocks and commit them, one file after another, until the connection breaks."""
    number = first_number
    try:
        while True:
            chunks = [os.urandom(80_000) for _ in range(4)]
            upload = os.urandom(16)
            (await device.announce(*chunks, growth_bytes=320_000, upload=upload)).raise_for_status()
            (await device.send(*chunks, upload=upload)).raise_for_status()
            ledger.add(chunks=chunks)
            entries = [Entry(device.chunk_id(each), len(each)) for each in chunks]  # type: ignore[arg-type]
            content = NewContent(
                manifest_id_of(entries), 320_000, entries=pack_entries(entries), upload_id=upload
            )
            small = device.inline(b"small %d" % number)
            answer = await device.commit(
                device.create(number, b"big %d" % number, content),
                device.create(number + 1, b"small %d" % (number + 1), small),
                answered_through=number - 1,
            )
            assert [each.outcome for each in answer.answers] == [Outcome.APPLIED] * 2
            ledger.add(names=[b"big %d" % number, b"small %d" % (number + 1)])
            number += 2
    except httpx.TransportError:
        return


@UNREAD_BODY
async def test_what_was_acknowledged_survives_kills_at_many_moments(
    server: Server, account: Account
) -> None:
    ledger = Ledger()
    async with connected(server, account) as device:
        for kill in range(KILLS):
            numbers = [
                int(name.split()[1]) for name in await names_in(device) if name.startswith(b"small")
            ]
            enough = ledger.count + 3 * kill + 1
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write_until_killed, device, ledger, max(numbers, default=0) + 1)
                await ledger.reaches(enough)
                await trio.to_thread.run_sync(server.kill)
            await trio.to_thread.run_sync(server.start)
            assert set(ledger.names) <= await names_in(device)
            for start in range(0, len(ledger.chunks), 50):
                chunks = ledger.chunks[start : start + 50]
                assert await device.fetch_plain(*chunks) == chunks
    assert ledger.count > KILLS


async def test_a_stop_answers_polls_and_ends_in_good_order(
    server: Server, account: Account
) -> None:
    async with connected(server, account) as device:
        page = decode((await device.get(device.path("snapshot"))).content, ChangesPage)
        request = msgspec.json.encode(PollRequest({device.drive.drive_id: page.cursor}))
        answers: list[httpx.Response] = []

        async def poll() -> None:
            answers.append(await device.post("/v1/changes/poll", request))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            waiting = ""
            while "mountfs_polls_waiting 1.0" not in waiting:
                waiting = (await device.get("/metrics")).text
            server.process.send(signal.SIGTERM)
        assert msgspec.json.decode(answers[0].content, type=PollAnswer).moved == []
        assert await trio.to_thread.run_sync(server.process.wait) == 0


async def test_interrupt_stops_too(server: Server) -> None:
    server.process.send(signal.SIGINT)
    assert await trio.to_thread.run_sync(server.process.wait) == 0


async def test_tls_is_served_with_a_certificate(new_server: NewServer, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    server = new_server(
        options=("--tls-cert", str(certificate.certificate), "--tls-key", str(certificate.key))
    )
    account = server.add_account()
    trusting = ssl.create_default_context(cafile=str(certificate.certificate))
    url = f"https://127.0.0.1:{server.port}"
    async with httpx.AsyncClient(base_url=url, trust_env=False, verify=trusting) as http:
        device = await log_in(http, account.email, account.password)
        content = os.urandom(300_000)
        assert (await device.send(content)).status_code == 200
        assert await device.fetch_plain(content) == [content]
    async with httpx.AsyncClient(base_url=url, trust_env=False) as stranger:
        with pytest.raises(httpx.ConnectError):
            await stranger.get("/health")


async def test_a_user_is_added_beside_the_running_server(server: Server) -> None:
    bob = server.add_account("Bob@example.org", "--quota", "1GiB", "--admin")
    async with connected(server, bob) as device:
        page = decode((await device.get(device.path("snapshot"))).content, ChangesPage)
        assert page.quota.limit_bytes == 1 << 30
    listed = server.command("user", "list", "--data", server.data, "--json")
    assert json.loads(listed.out) == [
        {
            "account_id": 1,
            "email": "bob@example.org",
            "is_admin": True,
            "is_suspended": False,
            "used_bytes": 0,
            "quota_bytes": 1 << 30,
        }
    ]
    again = server.command(
        "user", "add", "BOB@example.org", "--data", server.data, "--password-stdin",
        stdin="long enough\n",
    )  # fmt: skip
    assert again.code == 1
    assert "has an account already" in again.err
    short = server.command(
        "user", "add", "eve@example.org", "--data", server.data, "--password-stdin", stdin="short\n"
    )
    assert short.code == 1
    assert "8 to 1024 characters" in short.err


@UNREAD_BODY
async def test_an_abandoned_fetch_leaves_the_server_well(server: Server, account: Account) -> None:
    async with connected(server, account) as device:
        chunks = [os.urandom(1 << 20) for _ in range(16)]
        for chunk in chunks:
            assert (await device.send(chunk, upload=os.urandom(16))).status_code == 200
        body = device.fetch_request(*chunks)
        for _ in range(5):
            async with httpx.AsyncClient(base_url=server.url, trust_env=False) as impatient:
                async with impatient.stream(
                    "POST", device.path("blocks/fetch"), content=body, headers=device.headers
                ) as answer:
                    async for _ in answer.aiter_raw():
                        break
        assert await device.fetch_plain(*chunks) == chunks


async def test_an_abandoned_upload_leaves_the_server_well(server: Server, account: Account) -> None:
    async with connected(server, account) as device:
        frame = device.frame(os.urandom(1 << 20))

        async def half() -> AsyncIterator[bytes]:
            yield frame
            yield frame[: len(frame) // 2]
            raise ConnectionAbortedError

        path = device.path(f"blocks?upload={'00' * 16}")
        for _ in range(3):
            async with httpx.AsyncClient(base_url=server.url, trust_env=False) as impatient:
                with pytest.raises(ConnectionAbortedError):
                    await impatient.post(path, content=half(), headers=device.headers)
        content = os.urandom(100_000)
        assert (await device.send(content)).status_code == 200
        assert await device.fetch_plain(content) == [content]


async def test_content_survives_a_disk_that_rots(server: Server, account: Account) -> None:
    async with connected(server, account) as device:
        good, rotten = os.urandom(100_000), os.urandom(100_000)
        await device.send(good, rotten)
        rotten_id = device.chunk_id(rotten).hex()
        [path] = (server.data / "blocks").rglob(f"{rotten_id}.*")
        damaged = bytearray(path.read_bytes())
        damaged[5000] ^= 1
        path.write_bytes(damaged)
        frames = await device.fetch_all(good, rotten)
        assert [header.error for header, _ in frames] == ["", "damaged"]
        assert frames[1][1] == b""


# Started wrongly -----------------------------------------------------------------------------


def refused(server: Server, *words: str | Path, code: int = 1) -> str:
    done = server.command(*words)
    assert done.code == code, done
    assert "Traceback" not in done.err
    return done.err


def test_a_folder_without_a_server_is_told(tmp_path: Path) -> None:
    server = Server(tmp_path / "none")
    for words in (("serve",), ("user", "list")):
        assert "mountfs-server init --data" in refused(server, *words, "--data", server.data)


def test_a_second_server_and_a_taken_port_are_told(server: Server, new_server: NewServer) -> None:
    again = refused(server, "serve", "--data", server.data, "--listen", "127.0.0.1:0")
    assert "serves" in again
    other = Server(server.data.parent / "other")
    other.initialize()
    listen = f"127.0.0.1:{server.port}"
    assert "in use" in refused(other, "serve", "--data", other.data, "--listen", listen)
    assert "initialised already" in refused(server, "init", "--data", server.data)


def test_bad_keys_databases_and_certificates_are_told(tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    server.initialize()
    server.add_account()
    serve = ("serve", "--data", server.data, "--listen", "127.0.0.1:0")
    key_file = server.data / "master.key"
    key = key_file.read_text()
    key_file.chmod(0o644)
    assert "chmod 600" in refused(server, *serve)
    key_file.unlink()
    assert "recovery copy" in refused(server, *serve)
    other = Server(tmp_path / "other")
    other.initialize()
    key_file.write_text((other.data / "master.key").read_text())
    key_file.chmod(0o600)
    assert "not the master key of this data" in refused(server, *serve)
    key_file.write_text(key)
    bad_file = tmp_path / "bad.pem"
    bad_file.write_text("nonsense")
    tls = ("--tls-cert", bad_file, "--tls-key", bad_file)
    assert "no certificate" in refused(server, *serve, *tls)
    assert "both" in refused(server, *serve, "--tls-cert", bad_file, code=2)
    assert "HOST:PORT" in refused(server, *serve[:3], "--listen", "nonsense", code=2)
    assert "roles are" in refused(server, *serve, "--roles", "mail", code=2)
    refused(server, *serve, "--no-such-flag", code=2)
    with sqlite3.connect(server.data / "metadata.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffff'")
    database.close()
    assert "newer mountfs-server" in refused(server, *serve)
    (server.data / "metadata.db").write_bytes(b"nonsense" * 1000)
    assert "damaged" in refused(server, *serve)


def test_a_free_port_is_announced(tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    server.initialize()
    server.process.command = [*server.process.command[:4], "--listen", "127.0.0.1:0", "--json"]
    server.process.start()
    try:
        while '"listening"' not in server.process.tail():
            assert server.process.is_running
        line = next(
            line for line in server.process.log.read_text().splitlines() if '"listening":' in line
        )
        host, port = json.loads(line)["listening"].removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))):
            pass
    finally:
        server.stop()


async def test_a_token_of_another_server_is_unknown(
    server: Server, account: Account, new_server: NewServer
) -> None:
    other = new_server()
    async with connected(server, account) as device:
        async with httpx.AsyncClient(base_url=other.url, trust_env=False) as http:
            answer = await http.get("/v1/account", headers=device.headers)
    assert code_of(answer) is ErrorCode.TOKEN_INVALID
