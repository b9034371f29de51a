"""Two devices change the same while apart: nothing that either of them wrote is lost."""

import random
from pathlib import Path
from typing import Any

import pytest

from harness.alarms import UNREACHABLE
from harness.mount import check_everything_arrived
from harness.shared_drive import SharedDrive
from harness.trees import names_in

pytestmark = pytest.mark.fuse


class Apart:
    """The two mounts of one drive, whose link can be cut; each test has a folder of its own."""

    def __init__(self, drive: SharedDrive, folder: Path) -> None:
        self._drive = drive
        self.here = folder
        self.there = drive.there.path / folder.relative_to(drive.here.path)
        drive.here.process.expected += UNREACHABLE

    def separate(self) -> None:
        check_everything_arrived(self._drive.here, self._drive.there)
        self._drive.relay.cut()

    def meet(self) -> None:
        # The other side's change is on the server first: ours then meets it.
        self._drive.there.sync()
        self._drive.relay.heal()
        self.settle()

    def status_here(self) -> dict[str, Any]:
        return self._drive.here.status()

    def settle(self) -> None:
        check_everything_arrived(self._drive.here, self._drive.there)


@pytest.fixture
def apart(drive: SharedDrive, folder: Path) -> Apart:
    return Apart(drive, folder)


def _contents(root: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("size_bytes", [200, 500_000])
def test_both_contents_of_one_file_survive(apart: Apart, size_bytes: int) -> None:
    chance = random.Random(size_bytes)
    base, ours, theirs = (chance.randbytes(size_bytes) for _ in range(3))
    (apart.here / "report.bin").write_bytes(base)
    apart.separate()
    (apart.here / "report.bin").write_bytes(ours)
    (apart.there / "report.bin").write_bytes(theirs)
    apart.meet()
    for side in (apart.here, apart.there):
        assert _contents(side) == sorted([ours, theirs])
        copies = [name for name in names_in(side) if name != "report.bin"]
        assert len(copies) == 1, "exactly one conflict copy"
        assert copies[0].startswith("report (conflict of laptop, ")
        assert copies[0].endswith(").bin")
        assert (side / "report.bin").read_bytes() == theirs, "the head was there first"


def test_the_same_change_on_both_sides_is_no_conflict(apart: Apart) -> None:
    (apart.here / "f").write_bytes(b"base")
    apart.separate()
    for side in (apart.here, apart.there):
        (side / "f").write_bytes(b"the same idea")
    apart.meet()
    for side in (apart.here, apart.there):
        assert names_in(side) == ["f"]
        assert (side / "f").read_bytes() == b"the same idea"


@pytest.mark.parametrize("remover", ["here", "there"])
def test_a_removal_never_beats_an_edit(apart: Apart, remover: str) -> None:
    (apart.here / "folder").mkdir()
    (apart.here / "folder" / "f").write_bytes(b"base")
    apart.separate()
    removing, editing = (
        (apart.here, apart.there) if remover == "here" else (apart.there, apart.here)
    )
    (removing / "folder" / "f").unlink()
    (editing / "folder" / "f").write_bytes(b"edited meanwhile")
    apart.meet()
    for side in (apart.here, apart.there):
        assert b"edited meanwhile" in _contents(side)


@pytest.mark.parametrize("remover", ["here", "there"])
def test_a_file_put_into_a_folder_that_the_other_side_removed(apart: Apart, remover: str) -> None:
    (apart.here / "folder").mkdir()
    apart.separate()
    removing, putting = (
        (apart.here, apart.there) if remover == "here" else (apart.there, apart.here)
    )
    (removing / "folder").rmdir()
    (putting / "folder" / "f").write_bytes(b"put meanwhile")
    apart.meet()
    for side in (apart.here, apart.there):
        assert b"put meanwhile" in _contents(side)


def test_two_new_files_of_one_name(apart: Apart) -> None:
    apart.separate()
    (apart.here / "new.txt").write_bytes(b"ours")
    (apart.there / "new.txt").write_bytes(b"theirs")
    apart.meet()
    for side in (apart.here, apart.there):
        assert _contents(side) == [b"ours", b"theirs"]
        assert "new.txt" in names_in(side)


def test_two_new_folders_of_one_name(apart: Apart) -> None:
    apart.separate()
    for side, content in ((apart.here, b"ours"), (apart.there, b"theirs")):
        (side / "new").mkdir()
        (side / "new" / "f").write_bytes(content)
    apart.meet()
    for side in (apart.here, apart.there):
        assert _contents(side) == [b"ours", b"theirs"]


def test_a_renamed_file_and_its_edit(apart: Apart) -> None:
    (apart.here / "old name").write_bytes(b"base")
    apart.separate()
    (apart.here / "old name").rename(apart.here / "new name")
    (apart.there / "old name").write_bytes(b"edited meanwhile")
    apart.meet()
    for side in (apart.here, apart.there):
        assert names_in(side) == ["new name"]
        assert (side / "new name").read_bytes() == b"edited meanwhile"


def test_one_file_renamed_to_two_names(apart: Apart) -> None:
    (apart.here / "f").write_bytes(b"content")
    apart.separate()
    (apart.here / "f").rename(apart.here / "ours")
    (apart.there / "f").rename(apart.there / "theirs")
    apart.meet()
    for side in (apart.here, apart.there):
        assert b"content" in _contents(side)
        assert "f" not in names_in(side)


def test_folders_moved_into_each_other(apart: Apart) -> None:
    for name in ("a", "b"):
        (apart.here / name).mkdir()
        (apart.here / name / "f").write_bytes(name.encode())
    apart.separate()
    (apart.here / "a").rename(apart.here / "b" / "a")
    (apart.there / "b").rename(apart.there / "a" / "b")
    apart.meet()
    for side in (apart.here, apart.there):
        assert _contents(side) == [b"a", b"b"]


def test_a_program_that_has_our_file_open_goes_on_with_our_bytes(apart: Apart) -> None:
    (apart.here / "f.bin").write_bytes(b"base")
    apart.separate()
    with (apart.here / "f.bin").open("r+b", buffering=0) as handle:
        handle.write(b"ours, and ")
        (apart.there / "f.bin").write_bytes(b"theirs")
        apart.meet()
        handle.write(b"more of ours")
        handle.seek(0)
        assert handle.read() == b"ours, and more of ours"
    apart.settle()
    for side in (apart.here, apart.there):
        assert _contents(side) == [b"ours, and more of ours", b"theirs"]


@pytest.mark.parametrize("lines_count", [20, 20_000])
def test_two_edits_of_one_text_become_one(apart: Apart, lines_count: int) -> None:
    lines = [b"line %d of the text\n" % number for number in range(lines_count)]
    ours = [*lines[:3], b"LINE 3 OF THE TEXT\n", *lines[4:]]
    theirs = [*lines[:-4], b"L" + lines[-4][1:], *lines[-3:]]
    (apart.here / "text").write_bytes(b"".join(lines))
    apart.separate()
    (apart.here / "text").write_bytes(b"".join(ours))
    (apart.there / "text").write_bytes(b"".join(theirs))
    # The kernel holds these pages, and the size stays: only being told can make it look again.
    assert (apart.here / "text").read_bytes() == b"".join(ours)
    apart.meet()
    for side in (apart.here, apart.there):
        assert names_in(side) == ["text"]
        assert (side / "text").read_bytes() == b"".join([*theirs[:3], ours[3], *theirs[4:]])


def test_saved_by_rename_on_both_sides_and_merged(apart: Apart) -> None:
    (apart.here / "text").write_bytes(b"1\n2\n3\n")
    apart.separate()
    for side, text in ((apart.here, b"one\n2\n3\n"), (apart.there, b"1\n2\nthree\n")):
        (side / "text.tmp").write_bytes(text)
        (side / "text.tmp").rename(side / "text")
    apart.meet()
    for side in (apart.here, apart.there):
        assert names_in(side) == ["text"]
        assert (side / "text").read_bytes() == b"one\n2\nthree\n"
    ours = f"{apart.here.name}/text"
    happened = [one["what"] for one in apart.status_here()["recent"] if one["path"] == ours]
    assert happened.count("merged") == 1, happened
