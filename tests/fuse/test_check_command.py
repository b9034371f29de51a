"""`mountfs check` on what real mounts left: refused while mounted, clean behind them, repaired."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.alarms import UNREACHABLE
from harness.device import Device
from harness.fixtures import NewDevice, NewMount
from harness.mount import Mount
from harness.server import Server

pytestmark = [pytest.mark.fuse, pytest.mark.slow]


def check(mount: Mount, *options: str) -> tuple[int, dict[str, Any]]:
    done = mount.device.command("check", mount.path, "--json", *options)
    assert done.out, done
    answer: dict[str, Any] = json.loads(done.out)
    return done.code, answer


def database(device: Device) -> Path:
    (found,) = (device.state / "drives").glob("*/state.db")
    return found


def sql(device: Device, statement: str) -> None:
    with closing(sqlite3.connect(database(device), isolation_level=None)) as connection:
        connection.execute(statement)


def filled(mount: Mount) -> None:
    (mount.path / "docs").mkdir()
    (mount.path / "docs" / "letter").write_bytes(b"a letter" * 9999)
    (mount.path / "note").write_bytes(b"a note")
    mount.sync()


def test_refused_while_mounted_and_clean_afterwards(device: NewDevice, mounted: NewMount) -> None:
    mount = mounted(device())
    filled(mount)
    refused = mount.device.command("check", mount.path)
    assert refused.code == 1
    assert "mountfs umount" in refused.err
    mount.kill()
    code, answer = check(mount)
    assert (code, answer) == (0, {"ok": True, "findings": [], "notes": []})
    mount.restart()
    assert mount.unmount().code == 0
    assert mount.device.command("check", mount.path).out == "nothing is wrong\n"
    assert mount.device.command("check", mount.path.parent).code == 1
    assert mount.device.command("check", "--state", str(mount.path / "no")).code == 1


def test_a_wrong_mirror_comes_anew_from_the_server(
    server: Server, device: NewDevice, mounted: NewMount
) -> None:
    mount = mounted(device())
    filled(mount)
    assert mount.unmount().code == 0
    sql(mount.device, "UPDATE node SET size_bytes = 3 WHERE size_bytes > 3")
    assert check(mount, "--quick")[0] == 0, "the sizes are lawful"
    code, answer = check(mount)
    assert code == 1
    assert {finding["kind"] for finding in answer["findings"]} == {"mirror_wrong"}
    sql(mount.device, "DELETE FROM dentry WHERE name = CAST('note' AS BLOB)")
    server.stop()
    code, answer = check(mount, "--repair")
    assert code == 3, answer
    server.start()
    code, answer = check(mount, "--repair")
    assert code == 0, answer
    assert {finding["outcome"] for finding in answer["findings"]} == {"repaired"}
    assert check(mount)[0] == 0
    mount.restart()
    assert (mount.path / "note").read_bytes() == b"a note"
    assert (mount.path / "docs" / "letter").read_bytes() == b"a letter" * 9999


def test_unsent_bytes_that_are_gone_are_told_and_set_aside(
    server: Server, device: NewDevice, mounted: NewMount
) -> None:
    mount = mounted(device())
    mount.process.expected += [*UNREACHABLE, "recovered copies wait"]
    filled(mount)
    server.stop()
    (mount.path / "docs" / "letter").write_bytes(b"written offline " * 9999)
    assert mount.unmount("--now").code == 0
    staging = database(mount.device).parent / "staging"
    (staged,) = [path for path in staging.iterdir() if path.name.isdigit()]
    with staged.open("r+b") as file:
        file.truncate(1600)
    code, answer = check(mount)
    assert code == 1
    (finding,) = answer["findings"]
    assert (finding["kind"], finding["place"]) == ("staged_bytes_lost", "docs/letter")
    assert "1600 to " in finding["sentence"]
    code, answer = check(mount, "--repair")
    assert code == 1
    assert answer["findings"][0]["outcome"] == "set_aside"
    assert check(mount)[0] == 0
    server.start()
    mount.restart()
    assert (mount.path / "docs" / "letter").read_bytes() == b"a letter" * 9999
    (recovered,) = mount.status()["recovered"]
    assert recovered["path"] == "docs/letter"
    assert Path(recovered["copy"]).read_bytes() == b"written offline " * 100
