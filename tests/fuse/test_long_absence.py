"""A device comes back to a drive that moved on by thousands of entries; killed on its way there."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from benchmarks.large_drive import fill
from benchmarks.long_absence import move_on, reset_feed
from harness.alarms import UNREACHABLE
from harness.fixtures import NewDevice, NewMount
from harness.mount import check_everything_arrived
from harness.server import Server
from harness.stall_watch import StallWatch
from harness.waiting import wait_until

pytestmark = pytest.mark.fuse

FILES: Final = 8_000
CHANGES: Final = 6_000
DAEMON_BYTES_MAX: Final = 300 * 10**6
LONGEST_ANSWER_S: Final = 5.0
"""On any machine. What it is on a quiet one: tests/benchmarks/long_absence.py."""


def highest_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def asked_for(server: Server, what: str, *, since: int) -> int:
    """Return how often the server was asked for something, since so many characters of its log."""
    return server.process.text()[since:].count(f"{{drive_id}}/{what}")


@pytest.mark.parametrize("what", ["changes", "snapshot"])
def test_killed_while_it_catches_up_it_goes_on(
    what: str, server: Server, device: NewDevice, mounted: NewMount
) -> None:
    laptop, desktop = device("laptop"), device("desktop")
    server.stop()
    fill(server.data / "metadata.db", FILES)
    server.start()
    here = mounted(laptop)
    here.process.expected += [*UNREACHABLE, "the feed was reset"]
    server.stop()
    (here.path / "written offline").write_bytes(b"here")
    (here.path / "big" / "document 000000.txt").write_bytes(b"an edit of a file that others edit")
    move_on(server.data / "metadata.db", CHANGES, folder_name=b"made meanwhile")
    if what == "snapshot":
        reset_feed(server.data / "metadata.db")
    began_at = len(server.process.text())
    server.start()

    def is_on_its_way(pages: int) -> Callable[[], bool]:
        return lambda: asked_for(server, what, since=began_at) >= pages

    for pages in (1, 3):
        wait_until(is_on_its_way(pages), deadline_s=60, what=f"page {pages} was asked for")
        here.kill()
        here.restart()
    assert (here.path / "written offline").read_bytes() == b"here"
    with StallWatch(here.path, here.path / "big") as stalls:
        wait_until(
            (here.path / "made meanwhile" / "new 000000").exists,
            deadline_s=60,
            what="the changes are there",
        )
    assert max(stalls.longest_s.values()) < LONGEST_ANSWER_S
    assert highest_bytes(here.process.pid) < DAEMON_BYTES_MAX
    check_everything_arrived(here, mounted(desktop))
    names = sorted(path.name for path in (here.path / "big").iterdir())
    assert len(names) == FILES - CHANGES // 4
    assert sum(name.startswith("renamed") for name in names) == CHANGES // 4
