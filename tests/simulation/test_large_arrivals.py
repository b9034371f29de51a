"""What the server says, be it one row, is gathered on disk and moves into the mirror in slices."""

import os
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mountfs.state import next_mirror
from mountfs.state.view_changes import ViewChanges
from mountfs.sync import pulling
from simulation.storm import Storm, weather
from simulation.world import CALLER, World, open_world


@pytest.fixture
def all_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "SMALL_ROWS_MAX", -1)
    monkeypatch.setattr(next_mirror, "ROWS_AT_ONCE", 2)


@pytest.mark.usefixtures("all_large")
@pytest.mark.parametrize("seed", range(100, 103))
def test_nothing_is_lost_and_all_end_alike(seed: int, tmp_path: Path) -> None:
    trio.run(weather, Storm(seed), tmp_path, clock=MockClock(autojump_threshold=0))


async def scenario(world: World) -> dict[str, bytes | None]:
    """Everything that a device may have done while another changed the same."""
    here, there = await world.device("laptop"), await world.device("desktop")
    for name in ("gone", "moved", "both"):
        await here.mkdir(name)
        await here.write(f"{name}/a", b"a of " + name.encode())
        await here.write(f"{name}/b", b"b of " + name.encode())
    await world.quiet()
    here.transport.is_cut = True
    here.sync.hint()
    await trio.sleep(30)
    await here.write("gone/a", b"edited in a folder that others remove")
    await here.write("gone/new", b"made in it")
    await here.rename("moved/a", "both/from here")
    await here.link("moved/b", "linked here")
    await here.write("both/a", b"\0ours")
    await here.unlink("both/b")
    await here.mkdir("new")
    await here.write("new/same", b"as there")
    await here.write("new/other", b"\0here")
    await there.unlink("gone/a")
    await there.unlink("gone/b")
    await there.rmdir("gone")
    await there.rename("moved", "moved there")
    await there.unlink("moved there/b")
    await there.write("both/a", b"\0theirs")
    await there.write("both/b", b"an edit beats a removal")
    await there.mkdir("new")
    await there.write("new/same", b"as there")
    await there.write("new/other", b"\0there")
    for number in range(40):
        await there.write(f"both/made {number}", b"%d" % number)
    await there.settled()
    here.transport.is_cut = False
    await world.quiet()
    found = await here.tree()
    assert found == await there.tree()
    return found


async def _run(folder: Path) -> dict[str, bytes | None]:
    async with open_world(folder) as world:
        return await scenario(world)


def test_a_large_arrival_ends_where_a_small_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = trio.run(_run, tmp_path / "small", clock=MockClock(autojump_threshold=0))
    monkeypatch.setattr(pulling, "SMALL_ROWS_MAX", 30)
    monkeypatch.setattr(next_mirror, "ROWS_AT_ONCE", 7)
    large = trio.run(_run, tmp_path / "large", clock=MockClock(autojump_threshold=0))
    assert large == small
    assert {b"\0ours", b"\0theirs", b"\0here", b"\0there"} <= set(small.values())
    assert small["gone/a"] == b"edited in a folder that others remove"
    assert small["both/b"] == b"an edit beats a removal"


@pytest.mark.usefixtures("all_large")
async def test_nobody_gets_old_pages_between_the_showing_and_the_telling(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        here, there = await world.device("here"), await world.device("there")
        for name in ("open", "known", "same"):
            await here.write(name, b"old")
        await world.quiet()
        inodes = {name: await here.find(name) for name in ("open", "known", "same")}
        await here.fs.open(inodes["open"], os.O_RDWR, CALLER)
        here.kernel.contents.clear()
        keeps: list[bool] = []
        tell = here.sync._on_view_changes

        def told(changes: ViewChanges) -> None:
            tell(changes)
            if changes.is_layer_shown:
                assert here.kernel.contents == [inodes["open"]], "at once, for it may be written to"
                for name in ("known", "same"):
                    opening = here.fs.open(inodes[name], os.O_RDONLY, CALLER)
                    with pytest.raises(StopIteration) as opened:
                        opening.send(None)
                    keeps.append(opened.value.value.keep_cache)

        here.sync._on_view_changes = told
        for name in ("open", "known"):
            await there.write(name, b"new")
        await there.settled()
        await world.come_to_rest()
        assert keeps[:2] == [False, True]
