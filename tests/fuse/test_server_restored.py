"""An administrator puts back yesterday's backup; what mounts hold of today comes back."""

import json
import os
import shutil
from pathlib import Path

import pytest

from harness.alarms import UNREACHABLE
from harness.fixtures import NewDevice, NewMount
from harness.mount import Mount
from harness.server import Server
from harness.trees import read_tree
from harness.waiting import wait_until

pytestmark = pytest.mark.fuse

_RESTORED = ["the feed was reset", "came back from a backup"]
_BIG_BYTES = 9_000_000
_ARRIVE_DEADLINE_S = 60.0


def _restore(server: Server, backup: Path, *mounts: Mount) -> None:
    for mount in mounts:
        mount.process.expected += [*UNREACHABLE, *_RESTORED]
    server.stop()
    shutil.rmtree(server.data)
    shutil.copytree(backup, server.data)
    said = server.command("restored", "--data", server.data, "--json")
    assert (said.code, json.loads(said.out)) == (0, {"drives": 1}), str(said)
    server.start()


def test_what_was_written_since_the_backup_comes_back(
    server: Server, device: NewDevice, mounted: NewMount, tmp_path: Path
) -> None:
    mount = mounted(device("laptop"))
    drive = mount.path
    big = bytearray(os.urandom(_BIG_BYTES))
    (drive / "big").write_bytes(big)
    (drive / "letter").write_bytes(b"yesterday")
    mount.sync()

    refused = server.command("restored", "--data", server.data)
    assert refused.code == 1
    assert "stop it" in refused.err
    server.stop()
    backup = tmp_path / "backup"
    shutil.copytree(server.data, backup)
    server.start()

    big[4_000_000:4_000_004] = b"edit"
    with (drive / "big").open("r+b") as file:
        file.seek(4_000_000)
        file.write(b"edit")
    (drive / "letter").write_bytes(b"today")
    (drive / "photos").mkdir()
    photo = os.urandom(3_000_000)
    (drive / "photos" / "new").write_bytes(photo)
    mount.sync()
    # One more edit, which only this device has when the server comes back.
    server.stop()
    wait_until(lambda: not mount.status()["online"], deadline_s=60, what="the mount is offline")
    big[100:104] = b"more"
    with (drive / "big").open("r+b") as file:
        file.seek(100)
        file.write(b"more")
    with (drive / "photos" / "new").open("rb") as held:
        _restore(server, backup, mount)
        newcomer = mounted(device("desktop"))

        def has_come_back() -> bool:
            mount.sync()
            return (
                read_tree(newcomer.path) == read_tree(drive)
                and (newcomer.path / "photos" / "new").exists()
            )

        wait_until(has_come_back, deadline_s=_ARRIVE_DEADLINE_S, what="everything is back")
        assert held.read() == photo
    for root in (drive, newcomer.path):
        assert (root / "big").read_bytes() == big
        assert (root / "letter").read_bytes() == b"today"
        assert (root / "photos" / "new").read_bytes() == photo
        assert sorted(path.name for path in root.iterdir()) == ["big", "letter", "photos"]
    checked = server.command("check", "--data", server.data)
    assert checked.code == 0, str(checked)
