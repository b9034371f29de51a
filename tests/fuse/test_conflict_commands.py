"""`mountfs conflicts` and `mountfs resolve` on two real mounts."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.alarms import UNREACHABLE
from harness.mount import Mount, check_everything_arrived
from harness.shared_drive import SharedDrive
from harness.trees import names_in

pytestmark = pytest.mark.fuse


def _listed(mount: Mount) -> list[dict[str, Any]]:
    done = mount.device.command("conflicts", mount.path, "--json")
    found: list[dict[str, Any]] = json.loads(done.out)
    assert done.code == (1 if found else 0), done
    return found


@pytest.fixture
def conflict(drive: SharedDrive, folder: Path) -> Path:
    """A file of `folder` that both sides changed; returns our copy of it, as `here` shows it."""
    drive.here.process.expected += UNREACHABLE
    there = drive.there.path / folder.relative_to(drive.here.path)
    (folder / "f.bin").write_bytes(b"\0base")
    check_everything_arrived(drive.here, drive.there)
    drive.relay.cut()
    (folder / "f.bin").write_bytes(b"\0ours, longer")
    (there / "f.bin").write_bytes(b"\0theirs")
    drive.there.sync()
    drive.relay.heal()
    check_everything_arrived(drive.here, drive.there)
    (copy,) = set(names_in(folder)) - {"f.bin"}
    return folder / copy


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ("--keep-copy", [b"\0ours, longer"]),
        ("--keep-original", [b"\0theirs"]),
        ("--keep-both", [b"\0ours, longer", b"\0theirs"]),
    ],
)
def test_a_conflict_is_listed_on_both_and_settled_from_the_other(
    drive: SharedDrive, folder: Path, conflict: Path, option: str, shown: list[bytes]
) -> None:
    inside = folder.relative_to(drive.here.path)
    there = drive.there.path / inside
    for mount in (drive.here, drive.there):
        (found,) = _listed(mount)
        assert found["mount_point"] == str(mount.path)
        assert found["path"] == str(inside / conflict.name)
        assert found["original"] == str(inside / "f.bin")
        assert found["device"] == "laptop"
        assert (found["size_bytes"], found["original_size_bytes"]) == (13, 7)
        assert mount.status()["conflicts_count"] == 1
    done = drive.there.device.command("resolve", there / conflict.name, option, "--json")
    assert done.code == 0, done
    assert json.loads(done.out)["original"] == str(inside / "f.bin")
    check_everything_arrived(drive.there, drive.here)
    for mount in (drive.here, drive.there):
        assert not _listed(mount)
        assert mount.status()["conflicts_count"] == 0
        assert sorted(path.read_bytes() for path in (mount.path / inside).iterdir()) == shown
    assert (folder / "f.bin").exists()


def test_what_is_no_conflict_is_refused_with_a_remedy(drive: SharedDrive, folder: Path) -> None:
    (folder / "f").write_bytes(b"")
    done = drive.here.device.command("resolve", folder / "f", "--keep-both")
    assert done.code == 1
    assert "mountfs conflicts" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_person_reads_what_lies_where(drive: SharedDrive, conflict: Path) -> None:
    done = drive.here.device.command("conflicts", drive.here.path)
    assert done.code == 1
    assert str(conflict) in done.out
    assert "on laptop" in done.out
    settled = drive.here.device.command("resolve", conflict, "--keep-original")
    assert settled.code == 0, settled
    assert "f.bin stays" in settled.out
    assert not conflict.exists()
    assert drive.here.device.command("conflicts", drive.here.path).out == "no conflicts\n"
