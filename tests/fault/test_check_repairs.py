"""Each kind of damage is repaired as far as can be without a server; a second check is clean."""

from pathlib import Path

import pytest

from backend_server.protocol.tree_messages import DentryState, NodeKind, NodeState
from damaged_state import (
    BLOCK,
    CHUNKS,
    DAMAGES,
    FOLDER,
    LETTER,
    NOTE,
    DamagedState,
    damages_of,
    make_state,
    truncate,
)
from mountfs.core.findings import FindingKind
from mountfs.core.repair_outcome import Outcome, exit_code_of
from mountfs.state.salvage import begin_anew

OF_THE_MIRROR = damages_of(FindingKind.MIRROR_UNLAWFUL)
NEWER = damages_of(FindingKind.STATE_OTHER_VERSION)
SET_ASIDE = damages_of(
    FindingKind.STATE_MISSING,
    FindingKind.STATE_DAMAGED,
    FindingKind.STAGED_BYTES_LOST,
    FindingKind.OVERLAY_UNLAWFUL,
    FindingKind.STAGING_UNCLAIMED,
)
REPAIRED = [name for name in DAMAGES if name not in {*OF_THE_MIRROR, *NEWER, *SET_ASIDE}]


@pytest.fixture
def state(tmp_path: Path) -> DamagedState:
    return make_state(tmp_path / "device")


@pytest.mark.parametrize("name", REPAIRED)
def test_it_is_repaired(state: DamagedState, name: str) -> None:
    DAMAGES[name][0](state)
    repaired = state.check(is_repair=True)
    assert repaired.outcomes == [Outcome.REPAIRED]
    assert exit_code_of(repaired.outcomes) == 0
    assert state.check().findings == []


@pytest.mark.parametrize("name", SET_ASIDE)
def test_what_nobody_has_is_set_aside(state: DamagedState, name: str) -> None:
    DAMAGES[name][0](state)
    repaired = state.check(is_repair=True)
    assert repaired.outcomes == [Outcome.SET_ASIDE]
    assert exit_code_of(repaired.outcomes) == 1
    assert state.check().findings == []


@pytest.mark.parametrize("name", OF_THE_MIRROR)
def test_the_mirror_needs_the_server(state: DamagedState, name: str) -> None:
    DAMAGES[name][0](state)
    found = state.check().findings
    repaired = state.check(is_repair=True)
    assert repaired.outcomes == [Outcome.NEEDS_SERVER]
    assert exit_code_of(repaired.outcomes) == 3
    assert state.check().findings == found


@pytest.mark.parametrize("name", NEWER)
def test_a_state_of_tomorrow_is_left_alone(state: DamagedState, name: str) -> None:
    DAMAGES[name][0](state)
    before = state.database.read_bytes()
    assert state.check(is_repair=True).outcomes == [Outcome.LEFT]
    assert state.database.read_bytes() == before


# What was written here ------------------------------------------------------------------------


def test_a_file_that_lost_bytes_keeps_its_committed_content(state: DamagedState) -> None:
    truncate(state.staging_file(), BLOCK + 10)
    state.check(is_repair=True)
    assert state.copies() == {"docs/letter": b"A" * BLOCK + b"B" * 10}
    opened = state.open()
    assert opened.overlays.get(LETTER) is None
    letter = opened.tree.node(LETTER)
    assert letter is not None
    assert (letter.size_bytes, letter.revision) == (5, 3)
    note = opened.overlays.get(NOTE)
    assert note is not None
    (generation,) = note.generations
    assert opened.overlays.read(generation, next(iter(generation.extents))) == b"a small thing"
    opened.close()


def test_layers_above_the_damaged_one_are_set_aside_as_well(state: DamagedState) -> None:
    opened = state.open()
    overlay = opened.overlays.get(LETTER)
    assert overlay is not None
    opened.overlays.write(overlay, 5, b"above", now_ns=30)
    opened.close()
    state.staging_file().unlink()
    assert state.check(is_repair=True).outcomes == [Outcome.SET_ASIDE]
    assert state.copies() == {"docs/letter": b"\0" * 5 + b"above"}
    assert state.check().findings == []


def test_what_was_written_anew_over_damage_stays(state: DamagedState) -> None:
    state.staging_file().unlink()
    opened = state.open()
    overlay = opened.overlays.get(LETTER)
    assert overlay is not None
    opened.overlays.truncate(overlay, 0, now_ns=30)
    opened.overlays.write(overlay, 0, b"anew", now_ns=31)
    opened.close()
    assert state.check(is_repair=True).findings == []
    assert state.copies() == {}


def test_a_file_saved_over_another_gives_its_name_back(state: DamagedState) -> None:
    """An editor wrote a new file and renamed it over the letter; its bytes are lost."""
    opened = state.open()
    letter = opened.tree.node(LETTER)
    assert letter is not None
    saved = LETTER + 100
    opened.tree.create(letter._replace(node_id=saved, revision=0, manifest_id=b"", size_bytes=0))
    overlay = opened.overlays.begin(saved, expected_revision=0, source=None)
    opened.overlays.write(overlay, 0, b"s" * BLOCK, now_ns=40)
    parent, name = opened.tree.places(LETTER)[0]
    opened.tree.set_child(parent, name, saved)
    opened.close()
    state.staging_file(-1).unlink()
    assert state.check(is_repair=True).outcomes == [Outcome.SET_ASIDE]
    opened = state.open()
    assert opened.tree.child(parent, name) == LETTER
    assert opened.tree.node(saved) is None
    opened.close()


@pytest.mark.parametrize("name", damages_of(FindingKind.STATE_MISSING, FindingKind.STATE_DAMAGED))
def test_a_broken_database_loses_no_staged_byte(state: DamagedState, name: str) -> None:
    staged = state.staging_file().read_bytes()
    DAMAGES[name][0](state)
    broken = state.database.read_bytes() if state.database.exists() else None
    state.check(is_repair=True)
    assert staged in state.copies().values()
    (kept,) = (state.drive / "recovered").glob("state-*")
    assert (kept / "staging").is_dir()
    if broken is not None:
        assert (kept / "state.db").read_bytes() == broken
    opened = state.open()
    assert opened.cursor == ""
    assert not len(opened.overlays)
    opened.close()


def test_of_a_database_that_is_cut_off_what_is_there_is_read(state: DamagedState) -> None:
    opened = state.open()
    many = [NodeState(nth + 9999, 5, NodeKind.FILE, manifest_id=b"m" * 32) for nth in range(2000)]
    opened.mirror.apply(many, [])
    opened.close()
    truncate(state.database, state.database.stat().st_size // 2)
    state.check(is_repair=True)
    copies = state.copies()
    assert copies["docs/letter"].startswith(b"A" * BLOCK)
    assert copies["note"] == b"a small thing"


@pytest.mark.parametrize("is_shown", [True, False])
def test_copies_have_the_names_that_were_shown(state: DamagedState, *, is_shown: bool) -> None:
    """Others renamed `letter`, and the state broke while that was on its way into the mirror."""
    opened = state.open()
    dentries = [DentryState(FOLDER, b"letter", 0, 9), DentryState(1, b"moved", LETTER, 9)]
    for _ in opened.next_mirror.add([], dentries):
        pass
    if is_shown:
        opened.mirror.show_layer()
    opened.close()
    begin_anew(state.drive, now_s=0)
    assert sorted(state.copies()) == ["moved" if is_shown else "docs/letter", "note"]


def test_a_broken_database_that_nothing_waited_in_is_repaired(tmp_path: Path) -> None:
    state = make_state(tmp_path / "device")
    opened = state.open()
    for overlay in opened.overlays:
        opened.overlays.dispose(overlay)
    opened.close()
    state.database.write_bytes(b"garbage" * 999)
    assert state.check(is_repair=True).outcomes == [Outcome.REPAIRED]
    assert state.check().findings == []


def test_a_repair_that_was_cut_short_is_done_by_the_next(
    state: DamagedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The staging files were moved, the database not yet."""
    state.database.write_bytes(b"garbage" * 999)
    rename = Path.rename

    def dying(self: Path, target: Path) -> Path:
        if self.name == "state.db":
            raise KeyboardInterrupt
        return rename(self, target)

    staged = state.staging_file().read_bytes()
    monkeypatch.setattr(Path, "rename", dying)
    with pytest.raises(KeyboardInterrupt):
        state.check(is_repair=True)
    monkeypatch.undo()
    state.check(is_repair=True)
    assert staged in state.copies().values()
    assert state.check().findings == []


# The cache ------------------------------------------------------------------------------------


def test_only_the_damaged_value_leaves_the_cache(state: DamagedState) -> None:
    DAMAGES["a cached value is damaged"][0](state)
    state.check(is_repair=True)
    cache = state.open_cache()
    here = cache.contains_many("home", [chunk_id for chunk_id, _ in CHUNKS])
    assert here == {chunk_id for chunk_id, _ in CHUNKS} - {CHUNKS[2][0]}
    cache.close()
