"""A repair that is cut off at every step: no good byte is lost, and the next one finishes."""

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from backend_server.blocks.block_store import ObjectId
from backend_server.blocks.folder_inspection import FolderInspection
from backend_server.clock import wall_clock_ms
from backend_server.config import ServerConfig
from backend_server.maintenance.check.run import run_check
from backend_server.maintenance.check.surroundings import CheckOptions, Surroundings
from backend_server.metadata.database import Database
from backend_server.metadata.executors import InlineExecutor
from backend_server.protocol.blocks import decode_block
from backend_server.protocol.identity import DriveId
from backend_server.services.master_key import load_master_key
from check_kit import Content, check, filled, load_lost, objects_of, running
from server_damage import (
    add_a_foreign_file,
    add_an_object,
    count_quota_wrongly,
    dangle_a_name,
    flip_a_bit_of_an_inline_block,
    hang_a_name_on_a_file,
    lose_an_embedded_manifest,
    put_folders_into_each_other,
)
from server_kit import config, prepared_config

__all__ = ["config", "prepared_config"]

T = TypeVar("T")


class Cut(Exception):
    """The power went."""


class Cutter:
    """Counts what changes something, and cuts before or behind one of them."""

    def __init__(self, at_call: int, *, is_behind: bool) -> None:
        self.at_call = at_call
        self.is_behind = is_behind
        self.has_cut = False

    def before(self) -> None:
        self.at_call -= 1
        if self.at_call == 0:
            self.has_cut = True
            if not self.is_behind:
                raise Cut

    def behind(self) -> None:
        if self.at_call == 0:
            raise Cut


class CutDatabase(Database):
    def __init__(self, inner: Database, cutter: Cutter) -> None:
        super().__init__(inner._executor)
        self._cutter = cutter

    async def write(
        self,
        work: Callable[[Connection], T],
        *,
        weight_bytes: int = 0,
        on_durable: Callable[[T], None] | None = None,
    ) -> T:
        self._cutter.before()
        result = await super().write(work)
        self._cutter.behind()
        return result


class CutFolder(FolderInspection):
    def __init__(self, config: ServerConfig, cutter: Cutter) -> None:
        super().__init__(config.blocks_folder, config.quarantine_folder)
        self._cutter = cutter

    def move_aside(self, path: Path, drive_id: DriveId) -> None:
        self._cutter.before()
        super().move_aside(path, drive_id)
        self._cutter.behind()

    def keep_aside(self, drive_id: DriveId, name: str, data: bytes) -> None:
        self._cutter.before()
        super().keep_aside(drive_id, name, data)
        self._cutter.behind()

    def remove(self, object_ids: Sequence[ObjectId]) -> None:
        self._cutter.before()
        super().remove(object_ids)
        self._cutter.behind()


def damage(config: ServerConfig) -> None:
    """Something of everything."""
    first, second, third = objects_of(config)[:3]
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1] + b"!")
    third.write_bytes(third.read_bytes()[:100])
    for more in (
        add_an_object,
        add_a_foreign_file,
        flip_a_bit_of_an_inline_block,
        count_quota_wrongly,
        dangle_a_name,
        hang_a_name_on_a_file,
        put_folders_into_each_other,
        lose_an_embedded_manifest,
    ):
        more(config)


async def repair(config: ServerConfig, cutter: Cutter) -> None:
    database = Database.open(config.database_file, executor=InlineExecutor)
    try:
        await run_check(
            Surroundings(
                database=CutDatabase(database, cutter),
                folder=CutFolder(config, cutter),
                master=load_master_key(config.master_key_file),
                options=CheckOptions(is_repairing=True),
                clock_ms=wall_clock_ms,
            )
        )
    finally:
        await database.close()


async def readable(config: ServerConfig, content: Content) -> list[bytes]:
    """The chunks that come, each of which must be what it is asked for."""
    async with running(config) as device:
        frames = await device.fetch_all(*content.chunks)
        for (header, block), chunk in zip(frames, content.chunks, strict=True):
            assert header.error or decode_block(block) == chunk
        bad = {header.chunk_id for header, _ in frames if header.error}
        return [chunk for chunk in content.chunks if device.chunk_id(chunk) not in bad]


@pytest.mark.slow
@pytest.mark.parametrize("is_behind", [False, True])
async def test_a_repair_may_be_cut_off_at_every_step(
    config: ServerConfig, tmp_path_factory: pytest.TempPathFactory, is_behind: bool
) -> None:
    content = await filled(config)
    damage(config)
    before = {
        path.relative_to(config.data): path.read_bytes()
        for path in config.data.rglob("*")
        if path.is_file()
    }
    good: list[bytes] = []
    for at_call in count(1):
        for path in [path for path in config.data.rglob("*") if path.is_file()]:
            path.unlink()
        for name, data in before.items():
            (config.data / name).write_bytes(data)
        config.master_key_file.chmod(0o600)
        good = good or await readable(config, content)
        assert len(good) == len(content.chunks) - 4
        cutter = Cutter(at_call, is_behind=is_behind)
        try:
            await repair(config, cutter)
        except Cut:
            assert cutter.has_cut
        assert await readable(config, content) == good
        assert check(config, "--repair").code == 0
        done = check(config)
        assert (done.code, done.kinds, done.answer["awaited_chunks"]) == (0, {}, 4)
        async with running(config) as device:
            assert len(await load_lost(device)) == 4
        assert await readable(config, content) == good
        if not cutter.has_cut:
            assert at_call > 8
            return
