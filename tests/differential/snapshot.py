"""What a folder is, as values that two file systems can be compared by.

Inode numbers become the first path that leads to them. A time that a program set is compared as it
is; one that the file system took from its clock becomes the number of the step that changed it.
"""

import os
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from differential.calls import facts_of

SET_BY_PROGRAMS_BEFORE_NS: Final = 1_000_000_000 * 1_000_000_000
"""Times below (September 2001) were set by a call, those above came from a clock."""
_CLOCK_REALTIME_COARSE: Final = 5
"""clock_gettime(2); `time` has no name for it."""


class Fact(NamedTuple):
    """One name: `same_as` is the first path of its inode, `times` are atime, mtime and ctime."""

    same_as: str
    facts: tuple[int, ...]
    content: bytes | str
    times: tuple[int | str, int | str, int | str]


@dataclass(slots=True)
class Times:
    """Which step a clock's times are of."""

    step: int = 0
    _first_seen: dict[int, int] = field(default_factory=dict)

    def label(self, time_ns: int) -> int | str:
        if time_ns < SET_BY_PROGRAMS_BEFORE_NS:
            return time_ns
        return f"step {self._first_seen.setdefault(time_ns, self.step)}"


def snapshot(root: Path, times: Times) -> dict[str, Fact]:
    """Return everything in `root` by path.

    Leaves the access times of files alone, which needs root's rights.
    """
    found: dict[str, Fact] = {}
    first_path: dict[int, str] = {}
    _walk(root, "", found, first_path, times)
    return found


def _walk(
    root: Path, below: str, found: dict[str, Fact], first_path: dict[int, str], times: Times
) -> None:
    here = root / below
    status = here.lstat()
    content: bytes | str = b""
    names: list[str] = []
    if stat.S_ISDIR(status.st_mode):
        names = sorted(os.listdir(here))
    elif stat.S_ISREG(status.st_mode):
        content = _content(here)
    elif stat.S_ISLNK(status.st_mode):
        content = os.readlink(here)
    found[below] = Fact(
        first_path.setdefault(status.st_ino, below),
        facts_of(status),
        content,
        (
            times.label(status.st_atime_ns),
            times.label(status.st_mtime_ns),
            times.label(status.st_ctime_ns),
        ),
    )
    for name in names:
        _walk(root, f"{below}/{name}" if below else name, found, first_path, times)


def _content(file: Path) -> bytes:
    descriptor = os.open(file, os.O_RDONLY | os.O_NOATIME)
    try:
        with open(descriptor, "rb", closefd=False) as opened:
            return opened.read()
    finally:
        os.close(descriptor)


def wait_for_the_next_tick() -> None:
    """Return when a local file system would give another time than until now.

    File systems take times from a clock that moves once a tick (1 to 10 ms, time(7)).
    """
    before = time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
    while time.clock_gettime_ns(_CLOCK_REALTIME_COARSE) == before:
        time.sleep(0.0005)
