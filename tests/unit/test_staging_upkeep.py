"""What waits for long is frozen, durable and sealed while the mount runs."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from backend_server.protocol.identity import DriveId
from mountfs.app.staging_upkeep import QUIET_S, seal_quiet
from mountfs.core.extents import STAGED
from mountfs.errors import StagedBytesLost
from mountfs.state.overlay import Overlay
from mountfs.state.sealing import GENERATIONS_MAX
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


async def test_later_writes_go_elsewhere_and_are_sealed_in_their_turn(
    state: StateStore, clock: HandClock
) -> None:
    overlay = _written(state)
    for _ in range(3 * GENERATIONS_MAX):
        clock.now_s += QUIET_S + 1
        await _seal_quiet(state)
        state.overlays.write(overlay, 100, b"x" * 100_000, now_ns=2)
    assert 2 < len(overlay.generations) <= GENERATIONS_MAX
    sealed = [state.staging.is_sealed(each.generation_id) for each in overlay.generations]
    assert sealed == [True] * (len(sealed) - 1) + [False]
    for each in overlay.generations:
        assert find_spoilt(state.staging.path(each.generation_id)) == ()


async def test_what_is_gone_meanwhile_leaves_no_seal(
    state: StateStore, clock: HandClock, tmp_path: Path
) -> None:
    overlay = _written(state)
    clock.now_s += QUIET_S + 1
    (found,) = state.sealing.freeze_quiet(state.clock.monotonic_s())
    ((generation_id, staged),) = state.sealing.unsealed(found)
    seal = state.staging.seal(generation_id, staged)
    state.overlays.dispose(overlay)
    seal_path(state.staging.path(generation_id)).write_bytes(b"written by a thread just now")
    state.staging.keep_seal(generation_id, seal)
    assert not state.staging.is_sealed(generation_id)
    assert not list(state.staging.path(0).parent.iterdir())


async def test_a_file_that_cannot_be_sealed_is_in_nobodys_way(
    state: StateStore, clock: HandClock
) -> None:
    gone, other = _written(state), _written(state, NODE + 1)
    state.staging.path(gone.generations[0].generation_id).unlink()
    clock.now_s += QUIET_S + 1
    await _seal_quiet(state)
    assert state.staging.is_sealed(other.generations[0].generation_id)
