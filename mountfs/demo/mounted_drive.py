"""The demo's device and its mounted drive: logged in, mounted, asked how it is, unmounted."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mountfs.app.control_client import NotServed, ask_status, find_running
from mountfs.app.registry import Registry, RunningMount
from mountfs.app.status import MountStatus
from mountfs.demo.commands import run_command, try_command
from mountfs.demo.household import EMAIL, Household
from mountfs.errors import MountError, SetupError

DEVICE_NAME: Final = "demo"
UNMOUNT_TIMEOUT_S: Final = 120.0
END_TIMEOUT_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.05


class MountedDrive:
    """The drive at `household.drive`."""

    def __init__(self, household: Household, url: str) -> None:
        self._household = household
        self._url = url

    def ensure_logged_in(self) -> bool:
        """Log the device in at its first run. Returns whether it was the first."""
        complete = self._household.folder / "device.complete"
        if complete.exists():
            return False
        run_command(
            *("mountfs", "login", self._url, "--email", EMAIL, "--device", DEVICE_NAME),
            *("--password-stdin", "--state", self._household.device_state),
            stdin=self._household.load_password() + "\n",
        )
        complete.touch()
        return True

    def mount(self) -> None:
        """Mount in the background; programs can use the drive on return. Raises SetupError."""
        for left_behind in self._mounts():
            # Of a demo that was killed: its queue is durable, and this mount goes on with it.
            _end(left_behind)
        self._household.drive.mkdir(exist_ok=True)
        run_command(
            *("mountfs", "mount", self._household.drive),
            *("--state", self._household.device_state),
        )

    def status(self) -> MountStatus | None:
        """Return how the mount is; None when it has gone."""
        try:
            return ask_status(find_running(self._household.drive))
        except (NotServed, SetupError):
            return None

    def unmount(self, *, waits: bool) -> list[str]:
        """Unmount every drive that this demo's devices mounted; nothing of ours runs on return.

        Args:
            waits: Until the server has everything. Otherwise the rest stays for the next time.

        Returns what a person should know, a line each.
        """
        said = []
        for mount in self._mounts():
            now = () if waits else ("--now",)
            done = try_command(
                *("mountfs", "umount", mount.mount_point, *now), timeout_s=UNMOUNT_TIMEOUT_S
            )
            if done.returncode != 0:
                said.append((done.stderr or done.stdout).strip())
                _end(mount)
        return said

    def _mounts(self) -> Iterator[RunningMount]:
        """Yield the mounts whose state lies in the demo's folder, second devices included."""
        for mount in Registry().all():
            if Path(mount.state_folder).is_relative_to(self._household.folder) and _serves(mount):
                yield mount


def _serves(mount: RunningMount) -> bool:
    try:
        ask_status(mount)
    except NotServed:
        return False
    except MountError:
        return True
    return True


def _end(mount: RunningMount) -> None:
    """End the mount's process: it syncs for a moment and takes the mount away even if in use."""
    os.kill(mount.pid, signal.SIGTERM)
    gives_up_at = time.monotonic() + END_TIMEOUT_S
    while _serves(mount) and time.monotonic() < gives_up_at:
        time.sleep(_LOOK_EVERY_S)
