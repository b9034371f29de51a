"""A small server's data folder, made by the real services, to be damaged and checked."""

import hashlib
import json
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from backend_server.cli.main import app
from backend_server.config import ServerConfig
from backend_server.protocol.commit_messages import NewContent, Outcome
from backend_server.protocol.encoding import decode
from backend_server.protocol.manifests import Entry, manifest_id_of, pack_entries
from backend_server.protocol.transfer_messages import LostBlocksPage
from server_kit import Device, World, open_world

OLD_S = 10 * 24 * 3600


@dataclass
class Content:
    """What the small server holds. `large` has segments, `middle` is embedded, `small` inline."""

    drive_id: str
    large: list[bytes]
    middle: list[bytes]
    small: bytes

    @property
    def chunks(self) -> list[bytes]:
        return [*self.large, *self.middle, self.small]


def content_of(device: Device, chunks: list[bytes], upload: bytes = b"") -> NewContent:
    """The content that is made of these chunks, which were sent."""
    entries = [Entry(device.chunk_id(each), len(each)) for each in chunks]  # type: ignore[arg-type]
    size_bytes = sum(map(len, chunks))
    return NewContent(
        manifest_id_of(entries), size_bytes, entries=pack_entries(entries), upload_id=upload
    )


async def fill(world: World) -> Content:
    """Put three files on the server."""
    device = await world.log_in()
    content = Content(
        device.drive.drive_id,
        large=[os.urandom(70_000 + nth) for nth in range(6)],
        middle=[os.urandom(80_000), b"text " * 20_000],
        small=b"a small file, " * 100,
    )
    for number, chunks in ((1, content.large), (2, content.middle)):
        upload = bytes([number]) * 16
        await device.announce(*chunks, growth_bytes=sum(map(len, chunks)), upload=upload)
        assert (await device.send(*chunks, upload=upload)).status_code == 200
        answer = await device.commit(
            device.create(number, b"file %d" % number, content_of(device, chunks, upload))
        )
        assert answer.answers[0].outcome is Outcome.APPLIED
    answer = await device.commit(device.create(3, b"file 3", device.inline(content.small)))
    assert answer.answers[0].outcome is Outcome.APPLIED
    return content


async def filled(config: ServerConfig) -> Content:
    """Make the server of `config`, fill it, and stop it."""
    async with open_world(config) as world:
        return await fill(world)


@asynccontextmanager
async def running(config: ServerConfig) -> AsyncIterator[Device]:
    """A device at the server, which runs while the block does."""
    async with open_world(config, make_account=False) as world:
        yield await world.log_in()


async def load_lost(device: Device) -> list[bytes]:
    """The chunks that the server says it lost."""
    answer = await device.get(device.path("blocks/lost"))
    assert answer.status_code == 200, answer.text
    return [block.chunk_id for block in decode(answer.content, LostBlocksPage).blocks]


def objects_of(config: ServerConfig) -> list[Path]:
    """The files of blocks, the largest first: those that are not compressed."""
    files = [path for path in config.blocks_folder.rglob("*.*") if path.is_file()]
    return sorted(files, key=lambda path: path.stat().st_size, reverse=True)


def object_of(config: ServerConfig, device: Device, chunk: bytes) -> Path:
    [path] = config.blocks_folder.rglob(f"{device.chunk_id(chunk).hex()}.*")
    return path


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file of a folder and its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def execute(config: ServerConfig, *statements: str) -> None:
    """Change the database as nobody should."""
    with closing(sqlite3.connect(config.database_file)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def query(config: ServerConfig, statement: str) -> list[Any]:
    with closing(sqlite3.connect(config.database_file)) as database:
        return database.execute(statement).fetchall()


@dataclass(frozen=True)
class Checked:
    """What the command answered."""

    code: int
    answer: dict[str, Any]

    @property
    def kinds(self) -> dict[str, int]:
        found: dict[str, int] = self.answer["found"]
        return found

    @property
    def repaired(self) -> dict[str, int]:
        repaired: dict[str, int] = self.answer["repaired"]
        return {kind: count for kind, count in repaired.items() if count}


def check(config: ServerConfig, *flags: str) -> Checked:
    """Run `mountfs-server check --json`."""
    done = CliRunner().invoke(app, ["check", "--data", str(config.data), "--json", *flags])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Checked(done.exit_code, json.loads(done.stdout.splitlines()[-1]))


def refusal(config: ServerConfig, *flags: str) -> str:
    """What `mountfs-server check` says when it does not check."""
    done = CliRunner().invoke(app, ["check", "--data", str(config.data), *flags])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 1, done.output
    return " ".join(done.stderr.split())
