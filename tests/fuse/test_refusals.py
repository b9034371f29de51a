"""What a person can get wrong: a clear message, the right exit code, and nothing is broken by it.

Exit codes: 0 done, 1 refused or failed, 2 usage, 3 server unreachable.
"""

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from harness.certificates import make_certificate
from harness.device import Device
from harness.fixtures import NewDevice, NewMount, NewServer
from harness.mount import Mount, mounted_at
from harness.processes import Finished
from harness.relay import free_port
from harness.server import Account, Server
from harness.trees import read_tree
from harness.waiting import wait_until

pytestmark = pytest.mark.fuse


def _assert_refused(done: Finished, *words: str, code: int = 1) -> None:
    """One message for a person on stderr that says `words`; no traceback."""
    assert done.code == code, f"{done}"
    assert "Traceback" not in done.err + done.out
    for word in words:
        assert word.lower() in done.err.lower(), f"{word!r} is not said: {done}"


def _try_mount(device: Device, path: Path, *options: str) -> Finished:
    return device.command("mount", path, "--state", device.state, *options, timeout_s=30)


# Log-in --------------------------------------------------------------------------------------


def test_wrong_password(server: Server, account: Account, tmp_path: Path) -> None:
    device = Device(tmp_path / "laptop")
    done = device.try_login(server.url, Account(account.email, "not this one"))
    _assert_refused(done, "password")
    assert "not this one" not in done.out + done.err + server.process.text()


def test_unknown_account_sounds_like_a_wrong_password(
    server: Server, account: Account, tmp_path: Path
) -> None:
    device = Device(tmp_path / "laptop")
    known = device.try_login(server.url, Account(account.email, "wrong"))
    unknown = device.try_login(server.url, Account("nobody@example.org", "wrong"))
    assert (unknown.code, unknown.err) == (known.code, known.err)


def test_login_with_the_server_unreachable(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = Device(tmp_path / "laptop").try_login(url, Account("ada@example.org"))
    _assert_refused(done, url.removeprefix("http://"), code=3)


def test_login_where_something_else_answers(tmp_path: Path) -> None:
    done = Device(tmp_path / "laptop").try_login("not a url", Account("ada@example.org"))
    assert done.code in (1, 2), f"{done}"
    assert "Traceback" not in done.err


def test_a_certificate_that_nobody_vouches_for(new_server: NewServer, tmp_path: Path) -> None:
    files = make_certificate(tmp_path)
    server = new_server(options=("--tls-cert", str(files.certificate), "--tls-key", str(files.key)))
    account = server.add_account()
    url = server.url.replace("http:", "https:")
    device = Device(tmp_path / "laptop")
    _assert_refused(device.try_login(url, account), "certificate")
    trusting = device.try_login(url, account, "--ca-file", str(files.certificate))
    assert trusting.code == 0, f"{trusting}"


def test_a_mount_over_tls(new_server: NewServer, mounted: NewMount, tmp_path: Path) -> None:
    files = make_certificate(tmp_path)
    server = new_server(options=("--tls-cert", str(files.certificate), "--tls-key", str(files.key)))
    device = Device(tmp_path / "laptop")
    url = server.url.replace("http:", "https:")
    done = device.try_login(url, server.add_account(), "--ca-file", str(files.certificate))
    assert done.code == 0, f"{done}"
    mount = mounted(device)
    (mount.path / "f").write_bytes(b"sealed on the way")
    mount.sync()


# Mount ---------------------------------------------------------------------------------------


def test_mount_without_a_login(tmp_path: Path) -> None:
    device = Device(tmp_path / "laptop")
    (tmp_path / "drive").mkdir()
    _assert_refused(_try_mount(device, tmp_path / "drive"), "mountfs login")


def test_missing_mount_point(device: NewDevice, tmp_path: Path) -> None:
    path = tmp_path / "no" / "such"
    _assert_refused(_try_mount(device(), path), str(path))


def test_mount_point_that_is_a_file(device: NewDevice, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    _assert_refused(_try_mount(device(), path), str(path))
    assert path.read_text() == "precious"


def test_mount_point_with_files_in_it(device: NewDevice, tmp_path: Path) -> None:
    path = tmp_path / "full"
    path.mkdir()
    (path / "precious").write_text("precious")
    _assert_refused(_try_mount(device(), path), str(path), "empty")
    assert (path / "precious").read_text() == "precious"


def test_occupied_mount_point(device: NewDevice, mounted: NewMount) -> None:
    mount = mounted(device("laptop"))
    (mount.path / "f").write_bytes(b"still here")
    _assert_refused(_try_mount(device("desktop"), mount.path), "mounted")
    assert (mount.path / "f").read_bytes() == b"still here"


def test_one_device_mounted_twice(device: NewDevice, mounted: NewMount, tmp_path: Path) -> None:
    mount = mounted(device("laptop"))
    (tmp_path / "other").mkdir()
    _assert_refused(_try_mount(mount.device, tmp_path / "other"), "mounted")


def test_unknown_drive(device: NewDevice, tmp_path: Path) -> None:
    (tmp_path / "drive").mkdir()
    done = _try_mount(device(), tmp_path / "drive", "--drive", "No Such Drive")
    _assert_refused(done, "No Such Drive")


def test_state_folder_that_cannot_be_written(server: Server, account: Account) -> None:
    device = Device(server.data.parent / "laptop", state=Path("/proc/no-such-state"))
    _assert_refused(device.try_login(server.url, account), "/proc/no-such-state")


def test_a_cache_folder_that_cannot_be_written(
    device: NewDevice, mounted: NewMount, tmp_path: Path
) -> None:
    laptop = device()
    mount = mounted(laptop)
    (mount.path / "f").write_bytes(b"precious")
    assert mount.unmount().code == 0
    cache = laptop.state / "cache"
    shutil.rmtree(cache)
    # Permissions would not stop root; a folder of /proc stops everybody.
    cache.symlink_to("/proc/no-such-cache")
    _assert_refused(_try_mount(laptop, mount.path), str(cache), "--state")
    assert mounted_at(mount.path) == []
    cache.unlink()
    mount.start()
    assert (mount.path / "f").read_bytes() == b"precious"


def test_unmounting_what_is_not_mounted(device: NewDevice, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    for verb in ("umount", "sync", "status"):
        _assert_refused(device().command(verb, tmp_path / "plain"), "not", "mounted")


def test_usage_errors_are_told_apart(device: NewDevice) -> None:
    laptop = device()
    assert laptop.command("mount").code == 2
    assert laptop.command("no-such-verb").code == 2
    assert laptop.command("--help").code == 0


def test_unmounting_while_a_file_is_open(device: NewDevice, mounted: NewMount) -> None:
    mount = mounted(device())
    with (mount.path / "f").open("wb") as handle:
        handle.write(b"open")
        handle.flush()
        _assert_refused(mount.unmount(), "in use")
        handle.write(b" and written on")
    assert (mount.path / "f").read_bytes() == b"open and written on"
    assert mount.unmount().code == 0
    assert os.listdir(mount.path) == []  # noqa: PTH208 - the plain folder below


def test_unmount_waits_for_the_server_and_now_does_not(
    server: Server, device: NewDevice, mounted: NewMount
) -> None:
    mount = mounted(device("laptop"))
    mount.process.expected += ["unreachable", "offline"]
    (mount.path / "f").write_bytes(b"queued")
    server.stop()
    refused = mount.unmount()
    assert refused.code == 3, f"{refused}"
    assert "umount --now" in refused.err
    assert (mount.path / "f").read_bytes() == b"queued", "it stays mounted"
    assert mount.unmount("--now").code == 0
    server.start()
    mount.start()
    mount.sync()
    other = mounted(device("desktop"))
    wait_until(
        lambda: (other.path / "f").exists() and (other.path / "f").read_bytes() == b"queued",
        deadline_s=30,
        what="what was queued arrives after the next mount",
    )


WRITING_CALLS: dict[str, Callable[[Path], object]] = {
    "open for writing": lambda root: os.open(root / "f", os.O_WRONLY),
    "open for reading and writing": lambda root: os.open(root / "f", os.O_RDWR),
    "open to append": lambda root: os.open(root / "f", os.O_WRONLY | os.O_APPEND),
    "open to empty": lambda root: os.open(root / "f", os.O_RDONLY | os.O_TRUNC),
    "create": lambda root: os.open(root / "new", os.O_RDONLY | os.O_CREAT, 0o644),
    "truncate": lambda root: os.truncate(root / "f", 0),
    "chmod": lambda root: (root / "f").chmod(0o600),
    "chown": lambda root: os.chown(root / "f", os.getuid(), os.getgid()),
    "utimens": lambda root: os.utime(root / "f", (1, 1)),
    "mkdir": lambda root: (root / "new").mkdir(),
    "rmdir": lambda root: (root / "empty").rmdir(),
    "unlink": lambda root: (root / "f").unlink(),
    "rename": lambda root: (root / "f").rename(root / "new"),
    "rename over": lambda root: (root / "f").rename(root / "other"),
    "link": lambda root: (root / "new").hardlink_to(root / "f"),
    "symlink": lambda root: (root / "new").symlink_to("f"),
    "mkfifo": lambda root: os.mkfifo(root / "new"),
    "setxattr": lambda root: os.setxattr(root / "f", "user.new", b"1"),
    "removexattr": lambda root: os.removexattr(root / "f", "user.old"),
}


def test_a_read_only_mount_refuses_everything_that_writes(
    device: NewDevice, mounted: NewMount
) -> None:
    writer = mounted(device("laptop"), "--xattrs")
    for name in ("f", "other"):
        (writer.path / name).write_bytes(b"content")
    os.setxattr(writer.path / "f", "user.old", b"1")
    (writer.path / "empty").mkdir()
    writer.sync()
    reader = mounted(device("desktop"), "--read-only", "--xattrs")
    before = read_tree(reader.path)
    for name, call in WRITING_CALLS.items():
        with pytest.raises(OSError) as caught:  # noqa: PT011 - its errno is looked at below
            call(reader.path)
        assert (name, caught.value.errno) == (name, errno.EROFS)
    assert read_tree(reader.path) == before == read_tree(writer.path)
    assert os.getxattr(reader.path / "f", "user.old") == b"1"
    assert reader.status()["queue"]["operations"] == 0


# The server turns the device away ------------------------------------------------------------


def _turn_away(server: Server, statement: str) -> None:
    with sqlite3.connect(server.data / "metadata.db", timeout=20) as metadata:
        metadata.execute(statement)
    metadata.close()


def _revoke_over_the_api(server: Server, account: Account, device_name: str) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        login = {"email": account.email, "password": account.password, "device_name": "phone"}
        token = client.post("/v1/sessions", json=login).raise_for_status().json()["token"]
        client.headers["authorization"] = f"Bearer {token}"
        for found in client.get("/v1/devices").raise_for_status().json():
            if found["name"] == device_name:
                client.delete(f"/v1/devices/{found['device_id']}").raise_for_status()


def _assert_turned_away(mount: Mount, word: str) -> None:
    """The mount keeps what was written, says what is wrong, and sync refuses."""
    (mount.path / "after").write_bytes(b"written when already turned away")
    done = mount.try_sync()
    _assert_refused(done, word, "mountfs login")
    assert (mount.path / "after").read_bytes() == b"written when already turned away"


def test_a_revoked_device(
    server: Server, account: Account, device: NewDevice, mounted: NewMount
) -> None:
    mount = mounted(device("laptop"))
    mount.process.expected += ["log in again"]
    (mount.path / "before").write_bytes(b"before")
    mount.sync()
    _revoke_over_the_api(server, account, "laptop")
    _assert_turned_away(mount, "revoked")
    assert mount.unmount("--now").code == 0
    _assert_refused(_try_mount(mount.device, mount.path), "revoked", "mountfs login")


def test_an_expired_token_and_a_new_login(
    server: Server, account: Account, device: NewDevice, mounted: NewMount
) -> None:
    mount = mounted(device("laptop"))
    mount.process.expected += ["log in again"]
    (mount.path / "before").write_bytes(b"before")
    mount.sync()
    _turn_away(server, "UPDATE devices SET expires_at_ms = 1")
    _assert_turned_away(mount, "expired")
    assert mount.unmount("--now").code == 0
    mount.device.login(server.url, account)
    mount.start()
    mount.sync()
    other = mounted(device("desktop"))
    assert (other.path / "after").read_bytes() == b"written when already turned away"


# The server's own command line ---------------------------------------------------------------


def test_init_twice_and_serve_without_init(server: Server, tmp_path: Path) -> None:
    _assert_refused(server.command("init", "--data", server.data), str(server.data))
    nowhere = tmp_path / "nowhere"
    _assert_refused(server.command("serve", "--data", nowhere), "init")


def test_one_data_folder_is_served_once(server: Server) -> None:
    again = server.command("serve", "--data", server.data, "--listen", "127.0.0.1:0")
    _assert_refused(again, str(server.data))


def test_a_port_that_is_taken(server: Server, tmp_path: Path) -> None:
    other = Server(tmp_path / "other")
    other.initialize()
    port = f"127.0.0.1:{server.port}"
    _assert_refused(
        other.command("serve", "--data", other.data, "--listen", port), str(server.port)
    )


def test_an_account_is_added_once(server: Server, account: Account) -> None:
    again = server.command(
        *("user", "add", account.email, "--data", str(server.data), "--password-stdin"),
        stdin="another password\n",
    )
    _assert_refused(again, account.email)
