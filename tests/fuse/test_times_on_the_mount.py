"""Times that the kernel took and times that we took are of one clock."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from harness.shared_drive import SharedDrive
from harness.waiting import wait_until

pytestmark = pytest.mark.fuse

ROUNDS = 150
"""Of four calls each: a tick of the kernel's clock is 1 to 10 ms, a call a fraction of one."""


def test_what_happened_later_is_never_older(folder: Path, tmp_path: Path) -> None:
    """`make` believes that. utimensat(2) with UTIME_NOW and ftruncate(2) bring a time from the
    kernel; writes, new names and changes of mode have ours."""
    file, other = folder / "file", tmp_path / "other"
    file.write_bytes(b"")
    descriptor = os.open(file, os.O_RDWR)

    def touch() -> None:
        # Asked for and changed again, a local file gets a finer time than the tick's, and then
        # the kernel gives no file a time before it.
        other.stat()
        os.utime(other)
        os.utime(file)

    other.write_bytes(b"")
    calls: list[Callable[[], object]] = [
        touch,
        lambda: os.pwrite(descriptor, b"x", 0),
        touch,
        lambda: os.ftruncate(descriptor, 0),
    ]
    try:
        before_ns = file.stat().st_mtime_ns
        for _ in range(ROUNDS):
            for call in calls:
                call()
                now_ns = file.stat().st_mtime_ns
                assert now_ns >= before_ns
                before_ns = now_ns
    finally:
        os.close(descriptor)


def test_a_file_made_after_a_touch_is_not_older_than_what_was_touched(folder: Path) -> None:
    touched = folder / "touched"
    touched.touch()
    for index in range(ROUNDS):
        os.utime(touched)
        made = folder / f"made{index}"
        made.mkdir()
        os.utime(touched)
        after = folder / f"after{index}"
        after.touch()
        assert made.stat().st_mtime_ns <= touched.stat().st_mtime_ns <= after.stat().st_mtime_ns


def test_times_beyond_all_bounds_become_the_nearest(folder: Path, drive: SharedDrive) -> None:
    file = folder / "file"
    file.write_bytes(b"content")
    there = drive.there.path / folder.name / "file"
    for kept_ns in (2**63 - 1, 1 - 2**63):  # in the years 2262 and 1677
        asked_s = kept_ns // 300_000
        os.utime(file, (asked_s, asked_s))
        found = file.stat()
        assert (found.st_atime_ns, found.st_mtime_ns) == (kept_ns, kept_ns)
        drive.here.sync()
        wait_until(
            partial(_has_time, there, kept_ns), deadline_s=30, what="the other device shows it"
        )


def _has_time(file: Path, mtime_ns: int) -> bool:
    return file.exists() and file.stat().st_mtime_ns == mtime_ns
