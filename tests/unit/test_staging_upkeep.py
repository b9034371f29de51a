"""What waits for long is durable and sealed while the mount runs, and may be written to again."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from backend_server.protocol.identity import DriveId
from mountfs.app.staging_upkeep import seal_quiet
from mountfs.core.extents import STAGED
from mountfs.errors import StagedBytesLost
from mountfs.state import staging as staging_module
from mountfs.state.folder_names import sync_folder
from mountfs.state.overlay import Overlay
from mountfs.state.sealing import FEW_BYTES, QUIET_S
from mountfs.state.seals import find_spoilt, seal_path
from mountfs.state.store import StateStore
from mountfs.vfs.durability import Durability

NODE = 5
LARGE = 300 * 1024


class HandClock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_ns(self) -> int:
        return int(self.now_s * 1e9)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def _opened(folder: Path, boot_id: str = "boot", clock: HandClock | None = None) -> StateStore:
    return StateStore.open(folder, DriveId("0" * 16), boot_id=boot_id, clock=clock)


@pytest.fixture
def state(tmp_path: Path, clock: HandClock) -> Iterator[StateStore]:
    state = _opened(tmp_path / "state", clock=clock)
    yield state
    state.close()


def _as_a_kill_leaves_it(folder: Path) -> Path:
    return shutil.copytree(folder / "state", folder / "left")


def _written(state: StateStore, node_id: int = NODE) -> Overlay:
    overlay = state.overlays.begin(node_id, expected_revision=0, source=None)
    state.overlays.write(overlay, 0, os.urandom(LARGE), now_ns=1)
    return overlay


async def _seal_quiet(state: StateStore) -> None:
    durability = Durability(state.database, state.overlays, state.clock)
    await seal_quiet(state, durability, trio.CapacityLimiter(1))


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


async def test_a_bit_that_flips_after_a_minute_is_seen_while_it_runs_and_after_a_kill(
    state: StateStore, clock: HandClock, tmp_path: Path
) -> None:
    (generation,) = _written(state).generations
    staged = state.staging.path(generation.generation_id)
    await _seal_quiet(state)
    assert not seal_path(staged).exists(), "it may be sent any moment"
    clock.now_s += QUIET_S + 1
    await _seal_quiet(state)
    assert find_spoilt(staged) == ()
    _flip(staged, LARGE // 2)
    with pytest.raises(StagedBytesLost, match="not what was written"):
        state.staging.read(generation.generation_id, 0, LARGE)
    again = _opened(_as_a_kill_leaves_it(tmp_path))
    with pytest.raises(StagedBytesLost, match="not what was written"):
        again.staging.read(generation.generation_id, 0, LARGE)
    again.close()


async def test_what_was_sealed_is_trusted_after_a_power_loss(
    state: StateStore, clock: HandClock, tmp_path: Path
) -> None:
    _written(state)
    clock.now_s += QUIET_S + 1
    await _seal_quiet(state)
    again = _opened(_as_a_kill_leaves_it(tmp_path), "another boot")
    assert not again.recovered
    overlay = again.overlays.get(NODE)
    assert overlay is not None
    assert [extent.place for extent in overlay.generations[0].extents] == [STAGED]
    again.close()


def _read(state: StateStore, overlay: Overlay) -> bytes:
    (generation,) = overlay.generations
    return b"".join(state.overlays.read(generation, extent) for extent in generation.extents)


async def test_a_file_that_is_rewritten_for_hours_counts_once(
    tmp_path: Path, clock: HandClock
) -> None:
    size = 1 << 20
    state = StateStore.open(tmp_path, DriveId("0" * 16), clock=clock, staging_limit_bytes=8 * size)
    overlay = state.overlays.begin(NODE, expected_revision=0, source=None)
    for number in range(40):
        data = bytes([number]) * size
        state.overlays.write(overlay, 0, data, now_ns=1)
        clock.now_s += QUIET_S + 1
        await _seal_quiet(state)
        assert state.staging.is_sealed(overlay.generations[0].generation_id)
        assert _read(state, overlay) == data
    state.overlays.recount()
    assert state.overlays.dirty_bytes == size
    state.close()


async def test_a_later_write_breaks_the_seal_and_is_sealed_in_its_turn(
    state: StateStore, clock: HandClock, tmp_path: Path
) -> None:
    overlay = _written(state)
    clock.now_s += QUIET_S + 1
    await _seal_quiet(state)
    state.overlays.write(overlay, 100, b"x" * 100_000, now_ns=2)
    written = _read(state, overlay)
    assert written[100:100_100] == b"x" * 100_000
    again = _opened(_as_a_kill_leaves_it(tmp_path))
    left = again.overlays.get(NODE)
    assert left is not None
    assert _read(again, left) == written
    again.close()
    clock.now_s += QUIET_S + 1
    await _seal_quiet(state)
    (generation,) = overlay.generations
    _flip(state.staging.path(generation.generation_id), 50_000)
    with pytest.raises(StagedBytesLost, match="not what was written"):
        _read(state, overlay)


async def test_the_seal_is_gone_from_the_platter_before_the_bytes_become_others(
    state: StateStore, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlay = _written(state)
    clock.now_s += QUIET_S + 1
    await _seal_quiet(state)
    path = state.staging.path(overlay.generations[0].generation_id)
    before, seen = path.read_bytes(), []

    def synced(folder: Path) -> None:
        sync_folder(folder)
        seen.append((seal_path(path).exists(), path.read_bytes() == before))

    monkeypatch.setattr(staging_module, "sync_folder", synced)
    for _ in range(3):
        state.overlays.write(overlay, 0, b"x" * 100_000, now_ns=2)
    assert seen == [(False, True)], "once for all writes"


async def test_what_is_cut_off_leaves_the_seal_of_the_rest(
    state: StateStore, clock: HandClock
) -> None:
    overlay = _written(state)
    written = _read(state, overlay)
    clock.now_s += QUIET_S + 1
    await _seal_quiet(state)
    state.overlays.truncate(overlay, LARGE // 2, now_ns=2)
    path = state.staging.path(overlay.generations[0].generation_id)
    _flip(path, 1000)
    with pytest.raises(StagedBytesLost, match="not what was written"):
        _read(state, overlay)
    _flip(path, 1000)
    assert _read(state, overlay) == written[: LARGE // 2]


async def test_what_is_written_while_the_seal_is_made_is_not_under_it(
    state: StateStore, clock: HandClock, tmp_path: Path
) -> None:
    overlay = _written(state)
    clock.now_s += QUIET_S + 1
    (due,) = state.sealing.begin(overlay, clock.now_s)
    seal = state.staging.make_seal(due.generation_id, due.staged)
    state.overlays.write(overlay, 0, b"x" * 100_000, now_ns=2)
    written = _read(state, overlay)
    # Killed at this very moment.
    again = _opened(_as_a_kill_leaves_it(tmp_path))
    left = again.overlays.get(NODE)
    assert left is not None
    assert _read(again, left) == written
    assert len(list((tmp_path / "left" / "staging").iterdir())) == 1, "the file, and no seal"
    again.close()
    state.staging.keep_seal(due.generation_id, seal)
    assert not state.staging.is_sealed(due.generation_id)
    assert _read(state, overlay) == written
    assert len(list((tmp_path / "state" / "staging").iterdir())) == 1


async def test_a_large_file_is_not_read_again_for_each_small_write(
    state: StateStore, clock: HandClock
) -> None:
    overlay = state.overlays.begin(NODE, expected_revision=0, source=None)
    state.overlays.write(overlay, 0, os.urandom(FEW_BYTES + 1), now_ns=1)
    (generation,) = overlay.generations
    sealed_count = 0
    for _ in range(45):
        clock.now_s += QUIET_S + 1
        await _seal_quiet(state)
        sealed_count += state.staging.is_sealed(generation.generation_id)
        state.overlays.write(overlay, 100, b"x" * 100_000, now_ns=2)
    assert sealed_count == 5, "in the minutes 1, 11, 21, 31 and 41"
    state.overlays.freeze(overlay)
    clock.now_s += QUIET_S + 1
    await _seal_quiet(state)
    assert state.staging.is_sealed(generation.generation_id), "it stays as it is now"


async def test_what_is_gone_meanwhile_leaves_no_seal(state: StateStore, clock: HandClock) -> None:
    overlay = _written(state)
    clock.now_s += QUIET_S + 1
    (due,) = state.sealing.begin(overlay, clock.now_s)
    seal = state.staging.make_seal(due.generation_id, due.staged)
    state.overlays.dispose(overlay)
    state.staging.keep_seal(due.generation_id, seal)
    assert not state.staging.is_sealed(due.generation_id)
    assert not list(state.staging.path(0).parent.iterdir())


async def test_a_file_that_cannot_be_sealed_is_in_nobodys_way(
    state: StateStore, clock: HandClock
) -> None:
    gone, other = _written(state), _written(state, NODE + 1)
    state.staging.path(gone.generations[0].generation_id).unlink()
    clock.now_s += QUIET_S + 1
    await _seal_quiet(state)
    assert state.staging.is_sealed(other.generations[0].generation_id)


async def test_a_seal_that_could_not_be_made_is_none(state: StateStore, clock: HandClock) -> None:
    overlay = _written(state)
    clock.now_s += QUIET_S + 1
    (due,) = state.sealing.begin(overlay, clock.now_s)
    state.staging.make_seal(due.generation_id, due.staged)
    state.overlays.write(overlay, 0, b"x" * 100_000, now_ns=2)  # and nobody took the seal away
    path = state.staging.path(due.generation_id)
    away = path.rename(path.with_name("away"))
    state.staging.begin_seal(due.generation_id)
    seal = state.staging.make_seal(due.generation_id, due.staged)
    away.rename(path)
    state.staging.keep_seal(due.generation_id, seal)
    assert _read(state, overlay)[:3] == b"xxx"
    assert find_spoilt(path) == ()
