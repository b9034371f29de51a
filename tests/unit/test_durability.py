"""fsync(2) asks the platter when there is something new, and once for all who ask together."""

import threading
from collections.abc import Iterator
from contextlib import closing
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
    """Counts how often the log goes to the platter. Also the clock: each time takes `sync_s`."""

    syncs = 0
    sync_s = 0.0
    in_loop = False
    now_s = 0.0

    def wall_ns(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return self.now_s

    def make_durable(self) -> None:
        self.syncs += 1
        self.now_s += self.sync_s
        self.in_loop = threading.current_thread() is threading.main_thread()
        super().make_durable()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[_Watched]:
    StateStore.open(tmp_path, DRIVE).close()
    with closing(_Watched(tmp_path / "state.db")) as made:
        yield made


@pytest.fixture
def durability(tmp_path: Path, database: _Watched) -> Iterator[Durability]:
    with closing(StateStore.open(tmp_path / "other", DRIVE)) as state:
        yield Durability(database, state.overlays, clock=database)


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


async def test_a_slow_answer_moves_the_next_ones_to_threads(
    database: _Watched, durability: Durability
) -> None:
    async def sync(sync_s: float) -> bool:
        """Returns whether the event loop did it."""
        database.sync_s = sync_s
        database.execute("INSERT OR REPLACE INTO meta VALUES ('a', ?)", (database.syncs,))
        await durability.sync_log()
        return database.in_loop

    assert not await sync(0.0001), "nothing is known of a new disk"
    assert await sync(0.0001)
    assert await sync(0.3), "who could have known"
    assert not any([await sync(0.0001) for _ in range(100)])
    database.now_s += 10
    assert await sync(0.0001)
    assert await sync(0.3)
    database.now_s += 9
    assert not await sync(0.3)
    database.now_s += 9
    assert not await sync(0.0001), "each slow one counts from its own end"
