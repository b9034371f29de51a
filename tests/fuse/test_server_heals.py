"""Blocks rot on the server; the check finds them, and a mount that has them brings them back."""

import json
import os
from pathlib import Path

import pytest

from harness.fixtures import NewDevice, NewMount
from harness.server import Server
from harness.waiting import wait_until

pytestmark = pytest.mark.fuse

HEAL_DEADLINE_S = 60.0
FILES = 6


def _objects(server: Server) -> list[Path]:
    return sorted(path for path in (server.data / "blocks").rglob("*.*") if path.is_file())


def _check(server: Server, *flags: str) -> dict[str, object]:
    done = server.command("check", "--data", server.data, "--json", *flags)
    assert done.code in (0, 1), f"check: {done}"
    answer: dict[str, object] = json.loads(done.out)
    assert answer["is_clean"] == (done.code == 0) or flags == ("--repair",)
    return answer


def _damage(path: Path, nth: int) -> None:
    if nth % 3 == 0:
        path.unlink()
    elif nth % 3 == 1:
        os.truncate(path, 100)
    else:
        damaged = bytearray(path.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        path.write_bytes(damaged)


def test_a_mount_with_the_content_cached_heals_the_server(
    server: Server, device: NewDevice, mounted: NewMount
) -> None:
    mount = mounted(device("laptop"))
    written = {f"file {nth}": os.urandom(700_000 + nth) for nth in range(FILES)}
    for name, data in written.items():
        (mount.path / name).write_bytes(data)
    mount.sync()

    refused = server.command("check", "--data", server.data, "--repair")
    assert refused.code == 1
    assert "stop it before a repair" in refused.err

    server.stop()
    wait_until(lambda: not mount.status()["online"], deadline_s=60, what="the mount is offline")
    damaged = _objects(server)[::2]
    for nth, path in enumerate(damaged):
        _damage(path, nth)
    found = _check(server)
    assert not found["is_clean"]
    assert sum(found["found"].values()) == len(damaged)  # type: ignore[attr-defined]
    repaired = _check(server, "--repair")
    assert repaired["found"] == repaired["repaired"] == found["found"]
    assert _check(server)["awaited_chunks"] == len(damaged)

    server.start()
    wait_until(
        lambda: _check(server)["awaited_chunks"] == 0,
        deadline_s=HEAL_DEADLINE_S,
        what="the mount brought back what the server lost",
    )
    newcomer = mounted(device("desktop"))
    for name, data in written.items():
        assert (newcomer.path / name).read_bytes() == data
    assert _check(server)["is_clean"]


def test_what_nobody_has_is_an_error_and_the_rest_is_read(
    server: Server, device: NewDevice, mounted: NewMount
) -> None:
    mount = mounted(device("laptop"))
    (mount.path / "lost").write_bytes(os.urandom(100_000))
    mount.sync()
    [path] = _objects(server)
    (mount.path / "good").write_bytes(good := os.urandom(100_000))
    mount.sync()
    assert mount.unmount().code == 0
    server.stop()
    path.unlink()
    _check(server, "--repair")
    server.start()
    newcomer = mounted(device("desktop"))
    with pytest.raises(OSError, match="Input/output error"):
        (newcomer.path / "lost").read_bytes()
    assert (newcomer.path / "good").read_bytes() == good
    (newcomer.path / "lost").write_bytes(again := os.urandom(100_000))
    newcomer.sync()
    assert (newcomer.path / "lost").read_bytes() == again
