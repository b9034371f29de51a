"""Where a device keeps what.

    device.json     who we are and the token (0600)
    device.key      32 random bytes that seal the cache (0600)
    drives/ID/      mirror, changes that the server lacks, dirty bytes
    cache/          clean bytes, can be thrown away
    log/            one log a mount point, rotated
    run/            control sockets
    lock            held by the process that has it mounted

Two state folders are two devices. One process at a time mounts from one.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mountfs.errors import SetupError
from mountfs.state.folder_names import make_folder


class StateFolder:
    """Paths below one state folder. `ensure` makes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def device_file(self) -> Path:
        return self.path / "device.json"

    @property
    def key_file(self) -> Path:
        return self.path / "device.key"

    @property
    def drives(self) -> Path:
        return self.path / "drives"

    @property
    def cache(self) -> Path:
        return self.path / "cache"

    def drive(self, drive_id: str) -> Path:
        return self.drives / drive_id

    def log_file(self, mount_point: Path) -> Path:
        return self.path / "log" / f"{mount_name(mount_point)}.log"

    def control_socket(self, mount_point: Path) -> Path:
        return self.path / "run" / f"{mount_name(mount_point)}.sock"

    def ensure(self) -> None:
        """Make the folder and those in it that do not belong to one part alone. Idempotent.

        Raises:
            SetupError: It cannot be made or written.
        """
        try:
            for folder in (self.path, self.path / "log", self.path / "run"):
                make_folder(folder)
            self.path.chmod(0o700)
        except OSError as error:
            raise self._not_writable(error.strerror or str(error)) from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise self._not_writable("permission denied")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the one process that has this folder mounted. Ends with the process at the latest.

        Raises:
            SetupError: Another process is.
        """
        with (self.path / "lock").open("a") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SetupError(
                    f"this device is mounted already (its state folder is {self.path})",
                    remedy="`mountfs status` tells where; or be another device with --state DIR",
                ) from None
            yield

    def _not_writable(self, reason: str) -> SetupError:
        return SetupError(
            f"the state folder {self.path} cannot be used: {reason}",
            remedy="choose another with --state DIR, or change its owner",
        )


def mount_name(mount_point: Path) -> str:
    """Return a short file name for `mount_point`: readable, and distinct. Pure."""
    readable = "".join(c if c.isalnum() else "-" for c in mount_point.name)[:32] or "root"
    digest = hashlib.blake2b(os.fsencode(mount_point), digest_size=6).hexdigest()
    return f"{readable}-{digest}"
