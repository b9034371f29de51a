"""A real kernel mount by `mountfs mount`, in a process of its own, that always goes away again."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from harness.device import Device
from harness.processes import COMMANDS, Finished, LoggedProcess
from harness.trees import assert_become_same, read_tree
from harness.waiting import wait_until

MOUNT_DEADLINE_S: Final = 30.0
SYNC_DEADLINE_S: Final = 90.0
ARRIVE_DEADLINE_S: Final = 30.0
UNMOUNT_DEADLINE_S: Final = 60.0
HANG_DEADLINE_S: Final = 240.0
"""A mount that one test used for so long is taken to hang, and is broken so that the test fails."""


def can_mount() -> bool:
    """Whether this machine and this user can mount anything at all."""
    return os.access("/dev/fuse", os.R_OK | os.W_OK)


def mounted_at(path: Path) -> list[str]:
    """Return the file system types mounted at `path`, also of mounts that no longer answer."""
    wanted = str(path.absolute())
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        point = fields.split()[4].encode().decode("unicode_escape")
        if point == wanted:
            found.append(rest.split()[0])
    return found


class Mount:
    """One mount of a device's drive at `path`."""

    def __init__(
        self,
        device: Device,
        path: Path,
        *,
        options: Sequence[str] = (),
        is_watched: bool = True,
    ) -> None:
        """`is_watched`: a use longer than HANG_DEADLINE_S is taken for a hang."""
        self.device = device
        self._is_watched = is_watched
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.process = LoggedProcess(
            name=f"mount of {device.name}",
            command=[
                COMMANDS / "mountfs",
                *("mount", str(path), "--state", str(device.state), "--foreground", *options),
            ],
            env=device.env,
            log=device.folder / "mount.log",
        )
        self._hang_watch: threading.Timer | None = None

    def start(self, deadline_s: float = MOUNT_DEADLINE_S) -> None:
        """Mount, and return when the drive answers. A stale mount of before is not an answer."""
        self.process.start()
        outside = self.path.parent.stat().st_dev

        def answers() -> bool:
            assert self.process.is_running, f"the mount ended\n{self.process.tail()}"
            try:
                # The kernel remembers attributes, also those of a dead mount: ask what it cannot.
                os.statvfs(self.path)
                return self.path.stat().st_dev != outside
            except OSError:
                return False

        wait_until(answers, deadline_s=deadline_s, what=f"{self.path} is mounted")
        if self._is_watched:
            self.watch_for_hanging()

    def watch_for_hanging(self) -> None:
        """Start the time that one test may take anew. A call into a hung mount cannot be
        interrupted, so only the end of the daemon lets the test go on and fail."""
        self._stop_watching()
        self._hang_watch = threading.Timer(HANG_DEADLINE_S, self.process.kill)
        self._hang_watch.daemon = True
        self._hang_watch.start()

    def _stop_watching(self) -> None:
        if self._hang_watch is not None:
            self._hang_watch.cancel()
            self._hang_watch = None

    def sync(self) -> None:
        """Return when the server has everything written so far."""
        done = self.try_sync()
        assert done.code == 0, f"sync: {done}\n{self.process.tail()}"

    def try_sync(self, timeout_s: float = SYNC_DEADLINE_S) -> Finished:
        return self.device.command("sync", self.path, timeout_s=timeout_s)

    def status(self) -> dict[str, Any]:
        done = self.device.command("status", self.path, "--json")
        assert done.code == 0, f"status: {done}"
        found: dict[str, Any] = json.loads(done.out)
        assert found["pid"] == self.process.pid
        return found

    def unmount(self, *options: str) -> Finished:
        """Unmount as a person does, and wait for the daemon's end."""
        done = self.device.command("umount", self.path, *options, timeout_s=UNMOUNT_DEADLINE_S)
        if done.code == 0:
            self.process.wait()
            self._stop_watching()
        return done

    def kill(self) -> None:
        """End the daemon as a crash would. The mount point stays behind and answers ENOTCONN."""
        self.process.kill()
        self._stop_watching()

    def restart(self) -> None:
        """Mount again after `kill`, over whatever it left behind."""
        self.start()

    def clean_up(self) -> None:
        """Leave no mount and no process, whatever state this is in. Idempotent."""
        self._stop_watching()
        if self.process.is_running:
            subprocess.run(["fusermount3", "-u", self.path], capture_output=True, timeout=30)
            self.process.send(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        for _ in mounted_at(self.path):
            subprocess.run(["fusermount3", "-uz", self.path], capture_output=True, timeout=30)


def check_everything_arrived(mount_a: Mount, mount_b: Mount) -> None:
    """Assert that both mounts show the same drive, byte for byte, once nothing is on its way.

    Names, kinds, modes, owners, sizes, times, link targets, hard links and contents.
    """
    mount_a.sync()
    mount_b.sync()
    # Either may still be behind the other: what b sent last has to come to a.
    assert_become_same(
        lambda: read_tree(mount_a.path),
        lambda: read_tree(mount_b.path),
        deadline_s=ARRIVE_DEADLINE_S,
    )


def become_visible(path: Path, content: bytes) -> None:
    """Wait until `path` reads as `content`: the change of another mount has come in."""

    def reads_so() -> bool:
        try:
            return path.read_bytes() == content
        except FileNotFoundError:
            return False

    wait_until(reads_so, deadline_s=ARRIVE_DEADLINE_S, what=f"{path} has the new content")


def same_file(path: Path, inode: int) -> bool:
    """True while `path` is still the inode that it was."""
    return path.stat().st_ino == inode
