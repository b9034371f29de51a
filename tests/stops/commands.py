"""What the commands do, without a process for each: starting Python nine times was half of a point.

`sync`, `umount` and `check` of both sides, through the very functions that the commands call.
Each returns what is wrong; empty: nothing.
"""

import subprocess
from pathlib import Path
from typing import Final

import trio

from backend_server.cli.checking import check_data
from backend_server.config import Flags, load_config
from backend_server.maintenance.check.report import NoProgress
from backend_server.maintenance.check.surroundings import CheckOptions
from harness.mount import Mount
from mountfs.app.check import CheckPlan, check_device
from mountfs.app.check_access import keep_mounts_away
from mountfs.app.control_client import ask_stop, ask_sync, find_running
from mountfs.app.control_messages import Done
from mountfs.app.state_folder import StateFolder
from mountfs.errors import MountError

_END_DEADLINE_S: Final = 60.0


def sync(mount: Mount) -> list[str]:
    """Return when the server has everything written so far."""
    try:
        done = ask_sync(find_running(mount.path), lambda progress: None)
    except (MountError, OSError) as error:
        return [f"sync: {error!r}"]
    return _refused("sync", done)


def unmount(mount: Mount) -> list[str]:
    """Unmount once the server has everything, and wait for the end of the process."""
    try:
        done = ask_stop(find_running(mount.path), now=False, on_progress=lambda progress: None)
        mount.process.wait(_END_DEADLINE_S)
    except (MountError, OSError, subprocess.TimeoutExpired) as error:
        return [f"umount: {error!r}"]
    return _refused("umount", done)


def check_client(state: Path) -> list[str]:
    """Look through a device's state, and compare it with the server's."""
    folder = StateFolder(state)
    with keep_mounts_away(folder):
        checked = trio.run(check_device, CheckPlan(folder), lambda what: None)
    found = [f"mountfs check: {each.place}: {each.sentence}" for each in checked.findings]
    return found + [f"mountfs check notes: {note}" for note in checked.notes]


def check_server(data: Path) -> list[str]:
    report = check_data(load_config(Flags(data=data)), CheckOptions(), NoProgress())
    return [f"mountfs-server check: {each.kind}: {each.sentence}" for each in report.findings]


def _refused(what: str, done: Done) -> list[str]:
    return [f"{what}: the server refused {parked.path}: {parked.reason}" for parked in done.parked]
