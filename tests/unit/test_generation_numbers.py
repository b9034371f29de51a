"""Numbers of generations name files: none is given twice, whatever accidents there were."""

from pathlib import Path

import pytest

from backend_server.protocol.identity import DriveId
from mountfs.errors import SetupError
from mountfs.state.set_aside import claim_file
from mountfs.state.store import StateStore

DRIVE = DriveId("0" * 16)
LARGE = b"x" * 100_000


def written(folder: Path) -> int:
    """Write a staged file in the state; return its generation."""
    state = StateStore.open(folder, DRIVE)
    overlay = state.overlays.begin(9, expected_revision=0, source=None)
    state.overlays.write(overlay, 0, LARGE, now_ns=1)
    (generation,) = overlay.generations
    state.close()
    return generation.generation_id


def test_a_new_state_counts_on_from_what_was_recovered(tmp_path: Path) -> None:
    (tmp_path / "recovered").mkdir()
    (tmp_path / "recovered" / "9-7").write_bytes(b"of an accident before")
    assert written(tmp_path) == 8


def test_a_second_accident_takes_no_first_one_s_place(tmp_path: Path) -> None:
    (tmp_path / "recovered").mkdir()
    (tmp_path / "recovered" / "0-1").write_bytes(b"first")
    (tmp_path / "staging").mkdir()
    (tmp_path / "staging" / "1").write_bytes(b"second")
    copy = claim_file(tmp_path, 1)
    assert copy.read_bytes() == b"second"
    assert (tmp_path / "recovered" / "0-1").read_bytes() == b"first"
    assert not (tmp_path / "staging" / "1").exists()


def test_claiming_again_after_a_crash_makes_no_second_copy(tmp_path: Path) -> None:
    (tmp_path / "staging").mkdir()
    (tmp_path / "staging" / "1").write_bytes(b"bytes")
    claim_file(tmp_path, 1, keeps=True)
    claim_file(tmp_path, 1)
    assert [path.name for path in (tmp_path / "recovered").iterdir()] == ["0-1"]


def test_a_database_older_than_what_was_written_is_refused(tmp_path: Path) -> None:
    StateStore.open(tmp_path, DRIVE).close()
    staged = tmp_path / "staging" / "2"
    staged.write_bytes(LARGE)
    with pytest.raises(SetupError, match="older than what was written") as caught:
        StateStore.open(tmp_path, DRIVE)
    assert "mountfs check" in caught.value.remedy
    assert staged.read_bytes() == LARGE


def test_a_first_write_that_was_never_answered_is_garbage(tmp_path: Path) -> None:
    StateStore.open(tmp_path, DRIVE).close()
    staged = tmp_path / "staging" / "1"
    staged.write_bytes(LARGE)
    StateStore.open(tmp_path, DRIVE).close()
    assert not staged.exists()
