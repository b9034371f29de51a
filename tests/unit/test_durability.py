"""fsync(2) asks the platter when there is something new, and once for all who ask together."""

from pathlib import Path

import pytest
import trio

from backend_server.protocol.identity import DriveId
from mountfs.state.database import Database
from mountfs.state.store import StateStore
from mountfs.vfs.durability import Durability

NODE = 9
DRIVE = DriveId("0" * 16)


class _Watched(Database):
    """Counts how often the log goes to the platter."""

    syncs = 0

    def make_durable(self) -> None:
        self.syncs += 1
        super().make_durable()


@pytest.fixture
def database(tmp_path: Path) -> _Watched:
    StateStore.open(tmp_path, DRIVE).close()
    return _Watched(tmp_path / "state.db")


@pytest.fixture
def durability(tmp_path: Path, database: _Watched) -> Durability:
    state = StateStore.open(tmp_path / "other", DRIVE)
    return Durability(database, state.overlays)


async def test_nothing_new_asks_nothing(database: _Watched, durability: Durability) -> None:
    database.execute("INSERT INTO meta VALUES ('a', '1')")
    await durability.sync_log()
    await durability.sync_log()
    assert database.syncs == 1
    database.execute("UPDATE meta SET value = '2' WHERE key = 'a'")
    await durability.sync_log()
    assert database.syncs == 2
    with database.transaction():
        database.execute("DELETE FROM meta WHERE key = 'a'")
    await durability.sync_log()
    assert database.syncs == 3


async def test_those_who_ask_together_share(database: _Watched, durability: Durability) -> None:
    async def write_and_sync(number: int) -> None:
        database.execute("INSERT INTO meta VALUES (?, '')", (f"key {number}",))
        await durability.sync_log()

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(write_and_sync, number)
    assert 1 <= database.syncs <= 2
