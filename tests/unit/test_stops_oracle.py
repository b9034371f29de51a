"""The laws of what a drive may show after a stop or a power loss: each must see what breaks it."""

import tempfile
from pathlib import Path

import pytest

from stops.oracle import Moment, Oracle, find_unlawful, find_unlike
from stops.verdict import read_moment
from stops.work import Create, Fsync, Remove, Rename, Resize, Step, Sync, Write


def moments_of(top: Path, steps: list[Step]) -> list[Moment]:
    """Return what there is before each step, and in the end; in the beginning, the file `old`."""
    oracle = Oracle(folder_with(top, {"old": b"old bytes"}))
    oracle.begin()
    for step in steps:
        oracle.make(step)
    oracle.close()
    return oracle.moments


def folder_with(top: Path, files: dict[str, bytes]) -> Path:
    root = Path(tempfile.mkdtemp(dir=top))
    for path, content in files.items():
        (root / path).write_bytes(content)
    return root


def faults_of(top: Path, steps: list[Step], shown: dict[str, bytes]) -> list[str]:
    """Hold `shown` against what the steps permit after a power loss; the last is in the air."""
    return find_unlawful(read_moment(folder_with(top, shown)), moments_of(top, steps), steps)


EDIT: list[Step] = [
    Write("old", 0, b"NEW"),
    Fsync("old"),
    Write("old", 4, b"BYTES"),
    Write("old", 9, b"!"),
]


@pytest.mark.parametrize("content", [b"NEW bytes", b"NEW BYTES", b"NEW BYTES!", b"NEW bytes!"])
def test_what_was_not_synced_may_be_there_or_not(tmp_path: Path, content: bytes) -> None:
    assert faults_of(tmp_path, EDIT, {"old": content}) == []


@pytest.mark.parametrize("content", [b"old bytes", b"NEW byteS?", b"NEW", b"NEW \0\0\0\0\0"])
def test_what_was_synced_is_there_and_nothing_else(tmp_path: Path, content: bytes) -> None:
    assert faults_of(tmp_path, EDIT, {"old": content})


def test_a_sync_of_one_file_promises_all_names(tmp_path: Path) -> None:
    steps: list[Step] = [Create("new"), Fsync("old"), Write("new", 0, b"x")]
    assert faults_of(tmp_path, steps, {"old": b"old bytes", "new": b""}) == []
    assert faults_of(tmp_path, steps, {"old": b"old bytes"})


def test_a_removed_file_stays_removed_once_that_was_promised(tmp_path: Path) -> None:
    steps: list[Step] = [Remove("old"), Create("new"), Sync(), Write("new", 0, b"x")]
    assert faults_of(tmp_path, steps, {"new": b""}) == []
    assert faults_of(tmp_path, steps, {"new": b"", "old": b"old bytes"})


def test_a_call_in_the_air_promises_nothing(tmp_path: Path) -> None:
    assert faults_of(tmp_path, [Write("old", 0, b"NEW"), Fsync("old")], {"old": b"old bytes"}) == []


def test_a_file_on_its_way_to_another_name_is_under_one_of_them(tmp_path: Path) -> None:
    steps: list[Step] = [Fsync("old"), Rename("old", "new"), Resize("new", 9)]
    assert faults_of(tmp_path, steps, {"old": b"old bytes"}) == []
    assert faults_of(tmp_path, steps, {"new": b"old bytes"}) == []
    assert faults_of(tmp_path, steps, {})


def test_bytes_of_two_files_never_mix(tmp_path: Path) -> None:
    steps: list[Step] = [
        *(Create("new"), Write("new", 0, b"new bytes"), Fsync("new")),
        *(Rename("new", "old"), Write("old", 9, b"!")),
    ]
    assert faults_of(tmp_path, steps, {"old": b"new bytes"}) == []
    assert faults_of(tmp_path, steps, {"old": b"old bytes", "new": b"new bytes"}) == []
    assert faults_of(tmp_path, steps, {"old": b"new bytes".replace(b"n", b"o")})


def test_a_long_write_in_the_air_may_have_come_some_way(tmp_path: Path) -> None:
    steps: list[Step] = [Write("old", None, b" and more")]
    for content, is_lawful in ((b"old bytes and", True), (b"old bytes\0\0", False)):
        found = read_moment(folder_with(tmp_path, {"old": content}))
        assert (find_unlike(found, moments_of(tmp_path, steps), steps, 0) == []) == is_lawful


@pytest.mark.parametrize(
    ("content", "is_lawful"),
    [
        (b"old;rytes", True),
        (b"NEWER;tes", True),
        (b"NEd;R;tes", True),
        (b"old bytes", False),
        (b"NEWER;???", False),
        (b"NEWER;", False),
    ],
)
def test_a_write_in_the_air_may_be_there_in_part(
    tmp_path: Path, content: bytes, is_lawful: bool
) -> None:
    """Nothing else may differ: neither what returned, nor another call."""
    steps: list[Step] = [Write("old", 3, b";r"), Write("old", 0, b"NEWER;")]
    found = read_moment(folder_with(tmp_path, {"old": content}))
    assert (find_unlike(found, moments_of(tmp_path, steps), steps, 1) == []) == is_lawful
