"""Two devices change the same while apart: nothing that either of them wrote is lost."""

import random
from pathlib import Path

import pytest

from harness.alarms import UNREACHABLE
from harness.fixtures import NewDevice, NewMount
from harness.mount import Mount, check_everything_arrived
from harness.relay import Relay
from harness.trees import names_in

pytestmark = pytest.mark.fuse


class Apart:
    """Two mounts of one drive; the first one's link can be cut."""

    def __init__(self, relay: Relay, device: NewDevice, mounted: NewMount) -> None:
        self.relay = relay
        self.here: Mount = mounted(device("laptop", url=relay.url))
        self.there: Mount = mounted(device("desktop"))
        self.here.process.expected += UNREACHABLE

    def separate(self) -> None:
        check_everything_arrived(self.here, self.there)
        self.relay.cut()

    def meet(self) -> None:
        # The other side's change is on the server first: ours then meets it.
        self.there.sync()
        self.relay.heal()
        check_everything_arrived(self.here, self.there)


@pytest.fixture
def apart(relay: Relay, device: NewDevice, mounted: NewMount) -> Apart:
    return Apart(relay, device, mounted)


def _contents(root: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("size_bytes", [200, 500_000])
def test_both_contents_of_one_file_survive(apart: Apart, size_bytes: int) -> None:
    chance = random.Random(size_bytes)
    base, ours, theirs = (chance.randbytes(size_bytes) for _ in range(3))
    (apart.here.path / "report.bin").write_bytes(base)
    apart.separate()
    (apart.here.path / "report.bin").write_bytes(ours)
    (apart.there.path / "report.bin").write_bytes(theirs)
    apart.meet()
    for mount in (apart.here, apart.there):
        assert _contents(mount.path) == sorted([ours, theirs])
        copies = [name for name in names_in(mount.path) if name != "report.bin"]
        assert len(copies) == 1, "exactly one conflict copy"
        assert copies[0].startswith("report (conflict of laptop, ")
        assert copies[0].endswith(").bin")
        assert (mount.path / "report.bin").read_bytes() == theirs, "the head was there first"


def test_the_same_change_on_both_sides_is_no_conflict(apart: Apart) -> None:
    (apart.here.path / "f").write_bytes(b"base")
    apart.separate()
    for mount in (apart.here, apart.there):
        (mount.path / "f").write_bytes(b"the same idea")
    apart.meet()
    for mount in (apart.here, apart.there):
        assert names_in(mount.path) == ["f"]
        assert (mount.path / "f").read_bytes() == b"the same idea"


@pytest.mark.parametrize("remover", ["here", "there"])
def test_a_removal_never_beats_an_edit(apart: Apart, remover: str) -> None:
    (apart.here.path / "folder").mkdir()
    (apart.here.path / "folder" / "f").write_bytes(b"base")
    apart.separate()
    removing, editing = (
        (apart.here, apart.there) if remover == "here" else (apart.there, apart.here)
    )
    (removing.path / "folder" / "f").unlink()
    (editing.path / "folder" / "f").write_bytes(b"edited meanwhile")
    apart.meet()
    for mount in (apart.here, apart.there):
        assert b"edited meanwhile" in _contents(mount.path)


@pytest.mark.parametrize("remover", ["here", "there"])
def test_a_file_put_into_a_folder_that_the_other_side_removed(apart: Apart, remover: str) -> None:
    (apart.here.path / "folder").mkdir()
    apart.separate()
    removing, putting = (
        (apart.here, apart.there) if remover == "here" else (apart.there, apart.here)
    )
    (removing.path / "folder").rmdir()
    (putting.path / "folder" / "f").write_bytes(b"put meanwhile")
    apart.meet()
    for mount in (apart.here, apart.there):
        assert b"put meanwhile" in _contents(mount.path)


def test_two_new_files_of_one_name(apart: Apart) -> None:
    apart.separate()
    (apart.here.path / "new.txt").write_bytes(b"ours")
    (apart.there.path / "new.txt").write_bytes(b"theirs")
    apart.meet()
    for mount in (apart.here, apart.there):
        assert _contents(mount.path) == [b"ours", b"theirs"]
        assert "new.txt" in names_in(mount.path)


def test_two_new_folders_of_one_name(apart: Apart) -> None:
    apart.separate()
    for mount, content in ((apart.here, b"ours"), (apart.there, b"theirs")):
        (mount.path / "new").mkdir()
        (mount.path / "new" / "f").write_bytes(content)
    apart.meet()
    for mount in (apart.here, apart.there):
        assert _contents(mount.path) == [b"ours", b"theirs"]


def test_a_renamed_file_and_its_edit(apart: Apart) -> None:
    (apart.here.path / "old name").write_bytes(b"base")
    apart.separate()
    (apart.here.path / "old name").rename(apart.here.path / "new name")
    (apart.there.path / "old name").write_bytes(b"edited meanwhile")
    apart.meet()
    for mount in (apart.here, apart.there):
        assert names_in(mount.path) == ["new name"]
        assert (mount.path / "new name").read_bytes() == b"edited meanwhile"


def test_one_file_renamed_to_two_names(apart: Apart) -> None:
    (apart.here.path / "f").write_bytes(b"content")
    apart.separate()
    (apart.here.path / "f").rename(apart.here.path / "ours")
    (apart.there.path / "f").rename(apart.there.path / "theirs")
    apart.meet()
    for mount in (apart.here, apart.there):
        assert b"content" in _contents(mount.path)
        assert "f" not in names_in(mount.path)


def test_folders_moved_into_each_other(apart: Apart) -> None:
    for name in ("a", "b"):
        (apart.here.path / name).mkdir()
        (apart.here.path / name / "f").write_bytes(name.encode())
    apart.separate()
    (apart.here.path / "a").rename(apart.here.path / "b" / "a")
    (apart.there.path / "b").rename(apart.there.path / "a" / "b")
    apart.meet()
    for mount in (apart.here, apart.there):
        assert _contents(mount.path) == [b"a", b"b"]


def test_a_program_that_has_our_file_open_goes_on_with_our_bytes(apart: Apart) -> None:
    (apart.here.path / "f.bin").write_bytes(b"base")
    apart.separate()
    with (apart.here.path / "f.bin").open("r+b", buffering=0) as handle:
        handle.write(b"ours, and ")
        (apart.there.path / "f.bin").write_bytes(b"theirs")
        apart.meet()
        handle.write(b"more of ours")
        handle.seek(0)
        assert handle.read() == b"ours, and more of ours"
    check_everything_arrived(apart.here, apart.there)
    for mount in (apart.here, apart.there):
        assert _contents(mount.path) == [b"ours, and more of ours", b"theirs"]
