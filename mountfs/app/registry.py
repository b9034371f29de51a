"""Which mounts of this user run: found by mount point alone, whatever their state folder is.

One file a mount, made when it is ready and removed when it ends. A file whose process is gone is
as good as none: the control socket tells.
"""

import hashlib
import os
import stat
from pathlib import Path

import msgspec

from mountfs import config
from mountfs.errors import SetupError


class RunningMount(msgspec.Struct, frozen=True, kw_only=True):
    """Where to reach the process that serves `mount_point`. Paths are absolute."""

    mount_point: str
    control_socket: str
    state_folder: str
    log_file: str
    pid: int


class Registry:
    """The mounts of one user."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or config.registry_folder()

    def add(self, mount: RunningMount) -> None:
        """Note `mount`, in place of an earlier one of the same mount point.

        Raises:
            SetupError: The registry's folder cannot be made, or is another user's.
        """
        self._ensure_folder()
        path = self._path(Path(mount.mount_point))
        new = path.with_suffix(f".{os.getpid()}")
        new.write_bytes(msgspec.json.encode(mount))
        new.replace(path)

    def remove(self, mount_point: Path) -> None:
        """Forget what this process noted. Idempotent."""
        found = self.find(mount_point)
        if found is not None and found.pid == os.getpid():
            self._path(mount_point).unlink(missing_ok=True)

    def find(self, mount_point: Path) -> RunningMount | None:
        """Return what was noted of `mount_point`; its process may be gone."""
        return _load(self._path(mount_point))

    def all(self) -> list[RunningMount]:
        """Return all that are noted, by mount point."""
        found = [_load(path) for path in self._folder.glob("*.json")]
        return sorted(
            (mount for mount in found if mount is not None), key=lambda mount: mount.mount_point
        )

    def _path(self, mount_point: Path) -> Path:
        digest = hashlib.blake2b(os.fsencode(mount_point), digest_size=16).hexdigest()
        return self._folder / f"{digest}.json"

    def _ensure_folder(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self._folder.lstat()
        except OSError as error:
            raise SetupError(
                f"{self._folder} cannot be made: {error.strerror}", remedy="change its owner"
            ) from error
        # Below /tmp anybody could have made it first, to be told our mounts.
        if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
            raise SetupError(f"{self._folder} is not a private folder of yours", remedy="remove it")


def _load(path: Path) -> RunningMount | None:
    try:
        if path.stat().st_uid != os.getuid():
            return None
        return msgspec.json.decode(path.read_bytes(), type=RunningMount)
    except (OSError, msgspec.DecodeError):
        return None
