"""What is wrong with this machine, and what to do about it.

Each check says one thing, never raises, and takes a bounded time. Order: from the ground up, so
that the first failure is the one to look at.
"""

import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import trio

from backend_server.protocol.account_messages import AccountAnswer
from mountfs.app.account import client_of
from mountfs.app.device import DeviceRecord, load_device
from mountfs.app.failures import message_of, remedy_of
from mountfs.app.state_folder import StateFolder
from mountfs.errors import MountError, NotLoggedIn
from mountfs.fuse.mount_table import load_mounts
from mountfs.fuse.mounting import KIND, is_stale

SERVER_TIMEOUT_S: Final = 10.0
CLOCK_SKEW_S_MAX: Final = 60.0
FREE_BYTES_MIN: Final = 1 << 30

_FUSE_CONF: Final = Path("/etc/fuse.conf")


class Check(msgspec.Struct, frozen=True):
    """`remedy` is empty when `ok`."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


async def examine(folder: StateFolder, *, wants_allow_other: bool) -> list[Check]:
    """Return every check, in order."""
    checks = list(_kernel_checks(wants_allow_other=wants_allow_other))
    checks += await trio.to_thread.run_sync(lambda: list(_folder_checks(folder)))
    checks += await trio.to_thread.run_sync(lambda: list(_stale_mount_checks()))
    checks += await _server_checks(folder)
    return checks


def _kernel_checks(*, wants_allow_other: bool) -> Iterator[Check]:
    device = Path("/dev/fuse")
    if not device.exists():
        yield Check(
            "kernel", False, "/dev/fuse is missing",
            "modprobe fuse; in a container: --device /dev/fuse --cap-add SYS_ADMIN",
        )  # fmt: skip
    elif not os.access(device, os.R_OK | os.W_OK):
        yield Check(
            "kernel", False, "/dev/fuse is not yours to open", "chmod 666 /dev/fuse (as root)"
        )
    else:
        yield Check("kernel", True, "/dev/fuse can be opened")
    program = shutil.which("fusermount3")
    if program is None:
        yield Check(
            "fusermount3", False, "fusermount3 is not installed", "install the package fuse3"
        )
    elif os.getuid() != 0 and not Path(program).stat().st_mode & 0o4000:
        yield Check("fusermount3", False, f"{program} is not setuid", f"chmod u+s {program}")
    else:
        yield Check("fusermount3", True, program)
    if importlib.util.find_spec("pyfuse3") is None:
        yield Check(
            "pyfuse3", False, "pyfuse3 is not installed",
            "install gcc, pkg-config and libfuse3-dev, then install mountfs again",
        )  # fmt: skip
    else:
        yield Check("pyfuse3", True, "installed")
    if wants_allow_other:
        yield _allow_other_check()


def _allow_other_check() -> Check:
    try:
        lines = _FUSE_CONF.read_text().splitlines()
    except OSError:
        lines = []
    if os.getuid() == 0 or "user_allow_other" in (line.strip() for line in lines):
        return Check("allow-other", True, "allowed")
    return Check(
        "allow-other",
        False,
        f"{_FUSE_CONF} does not allow it",
        f"add the line user_allow_other to {_FUSE_CONF} (as root)",
    )


def _folder_checks(folder: StateFolder) -> Iterator[Check]:
    try:
        folder.ensure()
    except MountError as error:
        yield Check("state folder", False, message_of(error), remedy_of(error))
        return
    for name, path in (("state folder", folder.path), ("cache folder", folder.cache)):
        if not path.exists():
            continue
        try:
            with tempfile.TemporaryFile(dir=path) as file:
                file.write(b"\0" * 4096)
            yield Check(name, True, f"{path} can be written")
        except OSError as error:
            yield Check(
                name, False, f"{path} cannot be written: {error.strerror}",
                "change its owner, free some space, or choose another --state DIR",
            )  # fmt: skip
    free_bytes = shutil.disk_usage(folder.path).free
    detail = f"{free_bytes / (1 << 30):.1f} GiB free where {folder.path} is"
    if free_bytes < FREE_BYTES_MIN:
        yield Check("disk space", False, detail, "free some space, or use a smaller --cache-size")
    else:
        yield Check("disk space", True, detail)


def _stale_mount_checks() -> Iterator[Check]:
    ours = [mounted.mount_point for mounted in load_mounts() if mounted.kind == KIND]
    stale = [path for path in ours if is_stale(path) is not False]
    for path in stale:
        yield Check(
            "mounts", False, f"{path} does not answer: its process has ended",
            f"mount it again, or: mountfs umount {path}",
        )  # fmt: skip
    if not stale:
        yield Check("mounts", True, f"{len(ours)} mounted, all answer")


async def _server_checks(folder: StateFolder) -> list[Check]:
    try:
        record = load_device(folder)
    except NotLoggedIn as error:
        return [Check("login", False, message_of(error), remedy_of(error))]
    except MountError as error:
        return [Check("login", False, message_of(error), remedy_of(error))]
    asked_at = time.time()
    try:
        with trio.fail_after(SERVER_TIMEOUT_S):
            async with client_of(record) as client:
                account = await client.account()
    except trio.TooSlowError:
        return [Check("server", False, f"{record.url} does not answer", "check the network")]
    except NotLoggedIn as error:
        return [
            Check("server", True, f"{record.url} answers"),
            Check("login", False, message_of(error), remedy_of(error)),
        ]
    except MountError as error:
        return [Check("server", False, f"{record.url}: {message_of(error)}", remedy_of(error))]
    return [
        Check("server", True, f"{record.url} answers"),
        Check("login", True, f"{record.email}, device {record.device_name}"),
        _clock_check(account, asked_at=asked_at, record=record),
    ]


def _clock_check(account: AccountAnswer, *, asked_at: float, record: DeviceRecord) -> Check:
    # The server's word was spoken between asking and now.
    now = time.time()
    server_s = account.server_time_ms / 1000
    skew_s = max(server_s - now, asked_at - server_s, 0.0)
    if skew_s > CLOCK_SKEW_S_MAX:
        return Check(
            "clock",
            False,
            f"this clock and that of {record.url} differ by {skew_s:.0f} s",
            "set the clock: timedatectl set-ntp true",
        )
    return Check("clock", True, "agrees with the server's")
