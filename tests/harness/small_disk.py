"""A file system of a chosen size, to fill up. Needs the right to mount, that is root."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SmallDisk:
    """A mounted tmpfs."""

    def __init__(self, path: Path, size_mib: int) -> None:
        self.path = path
        path.mkdir(parents=True)
        self._mount("tmpfs", f"size={size_mib}m,mode=0700")

    def _mount(self, source: str, options: str) -> None:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, source, self.path],
            check=True,
            capture_output=True,
        )

    def resize(self, size_mib: int) -> None:
        self._mount("tmpfs", f"remount,size={size_mib}m")

    def make_read_only(self) -> None:
        self._mount("tmpfs", "remount,ro")

    def remove(self) -> None:
        subprocess.run(["umount", "-l", self.path], check=True, capture_output=True)


def can_make_disks() -> bool:
    return os.geteuid() == 0


@contextmanager
def small_disk(path: Path, *, size_mib: int) -> Iterator[SmallDisk]:
    disk = SmallDisk(path, size_mib)
    try:
        yield disk
    finally:
        disk.remove()
