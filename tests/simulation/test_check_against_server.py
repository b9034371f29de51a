"""A mirror against its server: right after whatever work, and each wrong row is found."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from trio.testing import MockClock

from mountfs.app.check import check_drive
from mountfs.app.state_folder import StateFolder
from mountfs.core.findings import Finding, FindingKind
from simulation.test_random_work import Work
from simulation.world import Device, World, open_world

STEPS = 40


async def check(world: World, device: Device) -> list[Finding]:
    """Check a device that does not run, against the server."""
    folder = StateFolder(world.folder / f"state of {device.name}")
    folder.drives.mkdir(parents=True, exist_ok=True)
    drive_id = device.state.drive_id
    if not folder.drive(drive_id).exists():
        folder.drive(drive_id).symlink_to(world.folder / device.name)
    notes: list[str] = []
    found = await check_drive(folder, drive_id, device.client, notes, lambda _: None)
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
