"""Each kind of damage is found, exactly it, and finding it changes nothing."""

import shutil
from pathlib import Path

import pytest

from damaged_state import BLOCK, CHUNKS, DAMAGES, LETTER, DamagedState, make_state, truncate
from mountfs.app.check_access import keep_mounts_away
from mountfs.app.state_folder import StateFolder
from mountfs.core.findings import Finding, FindingKind
from mountfs.core.repair_outcome import Outcome
from mountfs.errors import SetupError


@pytest.fixture
def state(tmp_path: Path) -> DamagedState:
    return make_state(tmp_path / "device")


def check(state: DamagedState) -> list[Finding]:
    """Check without a server; nothing may change."""
    before = state.files()
    checked = state.check()
    assert state.files() == before
    assert checked.outcomes == [Outcome.FOUND] * len(checked.findings)
    return checked.findings


def test_nothing_is_wrong(state: DamagedState) -> None:
    assert check(state) == []


def test_nothing_is_wrong_with_what_a_killed_process_left(tmp_path: Path) -> None:
    state = make_state(tmp_path / "device")
    opened = state.open()
    overlay = opened.overlays.get(LETTER)
    assert overlay is not None
    opened.overlays.write(overlay, 0, b"X" * BLOCK, now_ns=20)
    # What a killed process leaves: its log, unmerged.
    copied = tmp_path / "killed"
    shutil.copytree(state.folder.path, copied)
    opened.close()
    killed = DamagedState(StateFolder(copied))
    assert (killed.drive / "state.db-wal").stat().st_size
    assert check(killed) == []


def test_nothing_is_wrong_with_a_cache_whose_process_was_killed(state: DamagedState) -> None:
    cache = state.open_cache()
    assert cache.put_many("home", CHUNKS) == len(CHUNKS)
    cache._folder.close()  # committed, not marked clean
    content = state.cache_file.read_bytes()
    zeros = len(content) - len(content.rstrip(b"\0"))
    truncate(state.cache_file, len(content) - zeros // 4096 * 4096)  # as if never written
    assert check(state) == []


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_nothing_is_changed(state: DamagedState, name: str) -> None:
    damage, kind, place = DAMAGES[name]
    damage(state)
    found = check(state)
    assert [(finding.kind, finding.place) for finding in found] == [(kind, place)], found


def test_lost_bytes_are_told_by_their_ranges(state: DamagedState) -> None:
    truncate(state.staging_file(), BLOCK + 10)
    (found,) = check(state)
    assert f"{BLOCK + 10} to {3 * BLOCK}" in found.sentence
    assert not found.is_repairable


def test_of_what_is_all_garbage_only_so_much_is_told(state: DamagedState) -> None:
    state.sql("DELETE FROM node")
    found = check(state)
    assert {finding.kind for finding in found} == {FindingKind.MIRROR_UNLAWFUL}


def test_a_state_in_use_is_not_checked(state: DamagedState) -> None:
    with state.folder.lock():
        with pytest.raises(SetupError, match="mounted") as raised, keep_mounts_away(state.folder):
            pass
    assert "umount" in raised.value.remedy
