"""A mirror against its server: right after whatever work, and each wrong row is found."""

import os
import random
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from backend_server.protocol.identity import DriveId
from backend_server.protocol.tree_messages import ChangesPage
from mountfs.app.check import check_drive, inspect_drive
from mountfs.app.check_access import Reached
from mountfs.app.check_repair import repair_drive
from mountfs.app.device import DeviceRecord
from mountfs.app.state_folder import StateFolder
from mountfs.core.findings import Finding, FindingKind
from mountfs.core.repair_outcome import Outcome
from mountfs.transport.client import ServerClient
from simulation.work import Work
from simulation.world import Device, World, open_world

STEPS = 40


def state_folder(world: World, device: Device) -> StateFolder:
    folder = StateFolder(world.folder / f"state of {device.name}")
    folder.drives.mkdir(parents=True, exist_ok=True)
    if not folder.drive(device.state.drive_id).exists():
        folder.drive(device.state.drive_id).symlink_to(world.folder / device.name)
    return folder


async def check(world: World, device: Device) -> list[Finding]:
    """Check a device that does not run, against the server."""
    folder, drive_id = state_folder(world, device), device.state.drive_id
    notes: list[str] = []
    facts = inspect_drive(folder, drive_id)
    found = await check_drive(folder, drive_id, facts, device.client, notes, lambda _: None)
    assert not notes
    return found


def sql(world: World, device: Device, statement: str) -> None:
    path = world.folder / device.name / "state.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


@pytest.mark.parametrize("seed", range(6))
async def test_nothing_is_wrong_in_the_middle_of_work(
    autojump_clock: MockClock, tmp_path: Path, seed: int
) -> None:
    async with open_world(tmp_path) as world:
        world.shared_cache = {}
        devices = [await world.device("one"), await world.device("two")]
        work = Work(world, devices, random.Random(seed))
        for _ in range(STEPS):
            await work.step()
        for device in devices:
            await device.kill()
            device.transport.is_cut = False
            assert await check(world, device) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE node SET size_bytes = size_bytes + 1 WHERE node_id > 1 AND kind = 1",
        "UPDATE node SET mode = 0 WHERE node_id = 1",
        "UPDATE dentry SET name = x'7a' WHERE name = x'61'",
        "DELETE FROM dentry WHERE name = x'61'; ",
        "UPDATE node SET entries = x'00' WHERE kind = 1",
    ],
)
async def test_a_wrong_row_is_found(
    autojump_clock: MockClock, tmp_path: Path, statement: str
) -> None:
    async with open_world(tmp_path) as world:
        device = await world.device("one")
        await device.write("a", b"a letter")
        await world.quiet()
        await device.kill()
        sql(world, device, statement)
        found = await check(world, device)
        kinds = {finding.kind for finding in found}
        assert FindingKind.MIRROR_WRONG in kinds
        assert kinds <= {FindingKind.MIRROR_WRONG, FindingKind.MIRROR_UNLAWFUL}


async def test_a_mirror_that_is_behind_is_brought_to_where_the_server_is(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        here, there = await world.device("one"), await world.device("two")
        await here.write("a", b"a letter")
        await world.quiet()
        await here.kill()
        await there.rename("a", "b")
        await there.write("c", b"another")
        await there.settled()
        assert await check(world, here) == []


class MovingServer:
    """A server on which something happens while it is asked, so many times."""

    def __init__(
        self, client: ServerClient, move: Callable[[], Awaitable[None]], times: int
    ) -> None:
        self._client = client
        self._move = move
        self._times = times

    async def snapshot_page(
        self, drive_id: DriveId, after: str | None, since: str | None = None
    ) -> ChangesPage:
        return await self._client.snapshot_page(drive_id, after, since)

    async def changes(self, drive_id: DriveId, cursor: str) -> ChangesPage:
        page = await self._client.changes(drive_id, cursor)
        if self._times:
            self._times -= 1
            await self._move()
        return page


@pytest.mark.parametrize(("times", "is_compared"), [(1, True), (1000, False)])
async def test_a_drive_that_moves_meanwhile_is_followed_for_a_while(
    autojump_clock: MockClock, tmp_path: Path, times: int, is_compared: bool
) -> None:
    async with open_world(tmp_path) as world:
        here, there = await world.device("one"), await world.device("two")
        await here.write("a", b"a letter")
        await world.quiet()
        await here.kill()

        async def move() -> None:
            await there.write("b", os.urandom(9))
            await there.settled()

        folder, drive_id = state_folder(world, here), here.state.drive_id
        server = MovingServer(here.client, move, times)
        notes: list[str] = []
        facts = inspect_drive(folder, drive_id)
        assert await check_drive(folder, drive_id, facts, server, notes, lambda _: None) == []
        assert bool(notes) is not is_compared


async def repair(world: World, device: Device, findings: list[Finding]) -> list[Outcome]:
    folder, drive_id = state_folder(world, device), device.state.drive_id
    facts = inspect_drive(folder, drive_id)
    record = DeviceRecord(
        url="http://s", email="", account_id=1, device_id=1, device_name=device.name, token=""
    )
    reached = Reached(device.client, record)
    return await repair_drive(folder, drive_id, facts, findings, reached, [])


WRONG_ROWS = [
    "UPDATE node SET size_bytes = size_bytes + 1, revision = revision + 1 WHERE kind = 1",
    "UPDATE node SET kind = 1 WHERE node_id = (SELECT node_id FROM dentry WHERE name = x'64')",
    "DELETE FROM node WHERE node_id > 1",
    "DELETE FROM dentry",
    "INSERT INTO dentry VALUES (4711, x'78', 4712, 0)",
    "UPDATE dentry SET name = CAST(name || x'7a' AS BLOB)",
    "UPDATE dentry SET parent = node_id WHERE name = x'64'",
]


@pytest.mark.parametrize("statement", WRONG_ROWS)
async def test_a_mirror_is_rebuilt_and_nothing_written_here_is_lost(
    autojump_clock: MockClock, tmp_path: Path, statement: str
) -> None:
    async with open_world(tmp_path) as world:
        world.shared_cache = {}
        here, there = await world.device("one"), await world.device("two")
        await here.mkdir("d")
        await here.write("d/a", b"a letter")
        await here.write("b", b"another")
        await world.quiet()
        here.transport.is_cut = True
        await here.write("d/a", b"a letter, written on")
        await here.write("d/new", b"made here")
        await here.rename("b", "d/b")
        await here.kill()
        here.transport.is_cut = False
        sql(world, here, statement)
        findings = await check(world, here)
        assert findings
        outcomes = await repair(world, here, findings)
        assert set(outcomes) == {Outcome.REPAIRED}
        assert await check(world, here) == []
        await here.start()
        await world.quiet()
        expected = {"d", "d/a", "d/new", "d/b"}
        tree = await there.tree()
        assert set(tree) == expected, tree
        assert tree["d/a"] == b"a letter, written on"
        assert tree["d/new"] == b"made here"
        assert await here.tree() == tree


async def test_a_batch_whose_answer_was_lost_is_settled_by_the_repair(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        world.shared_cache = {}
        here, there = await world.device("one"), await world.device("two")
        await here.write("a", b"first")
        await world.quiet()
        here.transport.lose_answers = 1 << 20
        await here.write("a", b"second")
        await trio.sleep(3)  # of the simulation's time
        assert here.state.batches.in_flight
        await here.kill()
        here.transport.lose_answers = 0
        sql(world, here, "UPDATE node SET mode = 0")
        findings = await check(world, here)
        assert set(await repair(world, here, findings)) == {Outcome.REPAIRED}
        assert await check(world, here) == []
        await here.start()
        await world.quiet()
        assert await there.tree() == await here.tree() == {"a": b"second"}
