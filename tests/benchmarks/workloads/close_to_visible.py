"""From the close of a saved file until another device reads the new content, and from a removal
until it is gone there."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks import figures
from benchmarks.figures import Figure
from benchmarks.seat import Seat
from benchmarks.sites import DriveSite, Site
from benchmarks.sizes import KIB, Sizes
from benchmarks.stopwatch import Stopwatch
from benchmarks.summaries import percentile
from harness.waiting import wait_until

SAVE_BYTES: Final = 8 * KIB
DEADLINE_S: Final = 30.0
LOOK_EVERY_S: Final = 0.001
"""A look is one `stat` that the kernel answers: it does not compete with the daemons."""


def measure_close_to_visible(site: Site, sizes: Sizes) -> Mapping[Figure, float]:
    """Save each of many known files once: a file that is saved often is sent less often."""
    assert isinstance(site, DriveSite)
    folder = site.new_folder()
    paths = [folder / f"letter-{index}" for index in range(sizes.save_count)]
    for path in paths:
        path.write_bytes(os.urandom(SAVE_BYTES))
    site.sync()
    with site.new_seat(site.link) as there:
        times = [_save_and_wait(path, site.seat, there) for path in paths]
        gone = [_remove_and_wait(path, site.seat, there) for path in paths]
    return {
        figures.VISIBLE_P50: percentile(times, 0.5),
        figures.VISIBLE_P99: percentile(times, 0.99),
        figures.GONE_P50: percentile(gone, 0.5),
        figures.GONE_P99: percentile(gone, 0.99),
    }


def _save_and_wait(path: Path, here: Seat, there: Seat) -> float:
    for seat in (here, there):
        seat.stay()
    seen = there.path / path.relative_to(here.path)
    old = path.read_bytes()
    wait_until(lambda: _reads(seen) == old, deadline_s=DEADLINE_S, what=f"{seen} is known")
    before = seen.stat().st_mtime_ns
    content = os.urandom(SAVE_BYTES)
    path.write_bytes(content)
    watch = Stopwatch()
    while seen.stat().st_mtime_ns == before or _reads(seen) != content:
        assert watch.read_s() < DEADLINE_S, f"{seen} does not change"
        time.sleep(LOOK_EVERY_S)
    return watch.read_s()


def _remove_and_wait(path: Path, here: Seat, there: Seat) -> float:
    for seat in (here, there):
        seat.stay()
    seen = there.path / path.relative_to(here.path)
    path.unlink()
    watch = Stopwatch()
    while seen.exists():
        assert watch.read_s() < DEADLINE_S, f"{seen} does not go"
        time.sleep(LOOK_EVERY_S)
    return watch.read_s()


def _reads(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
