"""Real mounts on a damaged state: refused with a remedy, or errors where bytes are gone."""

import errno
from pathlib import Path

import pytest

from harness.alarms import UNREACHABLE
from harness.fixtures import NewDevice, NewMount
from harness.mount import Mount
from harness.server import Server

pytestmark = [pytest.mark.fuse, pytest.mark.slow]

OFFLINE = b"written offline " * 9999


def drive_folder(mount: Mount) -> Path:
    (found,) = (mount.device.state / "drives").iterdir()
    return found


def left_with_unsent_bytes(mount: Mount, server: Server) -> Path:
    """Leave a letter that was committed and then written over without the server.

    Returns its staging file.
    """
    mount.process.expected += UNREACHABLE
    (mount.path / "letter").write_bytes(b"committed")
    (mount.path / "other").write_bytes(b"well")
    mount.sync()
    server.stop()
    (mount.path / "letter").write_bytes(OFFLINE)
    assert mount.unmount("--now").code == 0
    server.start()
    staging = drive_folder(mount) / "staging"
    (staged,) = [path for path in staging.iterdir() if path.name.isdigit()]
    return staged


def test_a_database_that_is_garbage_refuses_and_is_begun_anew(
    server: Server, device: NewDevice, mounted: NewMount
) -> None:
    mount = mounted(device())
    left_with_unsent_bytes(mount, server)
    (drive_folder(mount) / "state.db").write_bytes(b"garbage" * 5000)
    refused = mount.device.command("mount", mount.path)
    assert refused.code == 1
    assert "damaged" in refused.err
    assert "mountfs check --repair" in refused.err
    repaired = mount.device.command("check", mount.path, "--repair")
    assert repaired.code == 1, "what waited is in a copy, for a person to look at"
    assert mount.device.command("check", mount.path).code == 0
    mount.process.expected += ["recovered copies wait"]
    mount.restart()
    assert (mount.path / "letter").read_bytes() == b"committed"
    (recovered,) = mount.status()["recovered"]
    assert Path(recovered["copy"]).read_bytes() == OFFLINE


def test_a_staging_file_that_was_cut_off_is_an_error_and_is_not_sent(
    server: Server, device: NewDevice, mounted: NewMount
) -> None:
    mount = mounted(device())
    staged = left_with_unsent_bytes(mount, server)
    with staged.open("r+b") as file:
        file.truncate(100_000)
    mount.process.expected += ["a content cannot be sent"]
    mount.restart()
    with pytest.raises(OSError, match="Input/output error") as raised:
        (mount.path / "letter").read_bytes()
    assert raised.value.errno == errno.EIO
    assert (mount.path / "other").read_bytes() == b"well"
    assert mount.try_sync().code == 1
    (parked,) = mount.status()["parked"]
    assert parked["path"] == "letter"
    assert "mountfs check" in parked["reason"]
    there = mounted(device("desktop"))
    assert (there.path / "letter").read_bytes() == b"committed"
