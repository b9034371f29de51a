"""Seals tell what flipped, piece by piece, and are silent about what they cannot know."""

import os
from pathlib import Path

import pytest

from mountfs.core.overlay_laws import Range
from mountfs.state.seals import (
    PIECE_BYTES,
    find_spoilt,
    load_seal,
    make_seal,
    put_seal,
    seal_path,
)
from mountfs.state.staging import StagingFiles

LENGTH = 3 * PIECE_BYTES + 1000


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    path = tmp_path / "7"
    path.write_bytes(os.urandom(LENGTH))
    return path


def store_seal(path: Path, staged: list[Range]) -> None:
    make_seal(path, staged)
    put_seal(path)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def test_what_is_as_it_was_is_well(staged: Path) -> None:
    store_seal(staged, [Range(0, LENGTH)])
    assert find_spoilt(staged) == ()


@pytest.mark.parametrize("at", [0, PIECE_BYTES - 1, PIECE_BYTES, LENGTH - 1])
def test_a_flipped_bit_spoils_its_piece(staged: Path, at: int) -> None:
    store_seal(staged, [Range(0, LENGTH)])
    flip(staged, at)
    (spoilt,) = find_spoilt(staged)
    assert spoilt.start <= at < spoilt.end


def test_only_what_is_staged_is_sealed(staged: Path) -> None:
    store_seal(staged, [Range(PIECE_BYTES, PIECE_BYTES + 1)])
    flip(staged, 0)
    assert find_spoilt(staged) == ()


def test_what_was_cut_off_is_not_judged(staged: Path) -> None:
    store_seal(staged, [Range(0, LENGTH)])
    os.truncate(staged, PIECE_BYTES + 5)
    assert find_spoilt(staged) == ()
    os.truncate(staged, 0)
    assert find_spoilt(staged) == ()


@pytest.mark.parametrize("garbage", [b"", b"garbage", bytes(72), os.urandom(4096)])
def test_a_seal_that_is_not_whole_is_none(staged: Path, garbage: bytes) -> None:
    store_seal(staged, [Range(0, LENGTH)])
    seal_path(staged).write_bytes(garbage)
    assert load_seal(staged) is None
    assert find_spoilt(staged) == ()


def test_a_piece_is_looked_at_once(staged: Path) -> None:
    store_seal(staged, [Range(0, LENGTH)])
    seal = load_seal(staged)
    assert seal is not None
    with staged.open("rb") as file:
        assert seal.find_broken(file.fileno(), 0, 10) is None
        flip(staged, 5)
        assert seal.find_broken(file.fileno(), 0, 10) is None, "it was well when it was needed"
        flip(staged, PIECE_BYTES + 5)
        assert seal.find_broken(file.fileno(), 0, PIECE_BYTES) is None
        broken = Range(PIECE_BYTES, 2 * PIECE_BYTES)
        for _ in range(2):
            assert seal.find_broken(file.fileno(), PIECE_BYTES - 1, PIECE_BYTES + 1) == broken


def test_a_number_that_is_given_again_does_not_inherit_a_seal(staged: Path) -> None:
    """The database was lost, and numbers begin anew."""
    store_seal(staged, [Range(0, LENGTH)])
    staging = StagingFiles(staged.parent)
    staging.begin(7)
    assert not staging.is_sealed(7)
    staging.write(7, 0, b"of another state")
    assert staging.read(7, 0, 16) == b"of another state"
    staging.close()
