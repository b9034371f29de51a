"""SIGKILL of the mount at many moments: what a program was told is written is there afterwards.

A writer makes changes on the mount, one after another; each that returned is made on a plain
folder as well. After the kill and the next mount both must be the same, but for what the one
change in the air touched, which is then made again.
"""

import random
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.alarms import UNREACHABLE
from harness.changes import Change, Move, Save, draw_change
from harness.fixtures import NewDevice, NewMount
from harness.mount import Mount, check_everything_arrived
from harness.server import Server
from harness.trees import Tree, assert_same_tree, read_tree

pytestmark = [pytest.mark.fuse, pytest.mark.slow]

MOMENTS = 14
CHANGES_UNTIL_KILL_MAX = 60
SLOWEST_CHANGE_S = 60.0


@dataclass
class Writer:
    """Makes changes on the mount until one fails, and notes which returned."""

    root: Path
    oracle: Path
    chance: random.Random
    in_the_air: Change | None = None
    finished_count: int = 0
    _enough: threading.Event = field(default_factory=threading.Event)

    def run(self, notify_after: int) -> None:
        try:
            while True:
                self.in_the_air = draw_change(self.chance)
                self.in_the_air.make(self.root)
                self.in_the_air.make(self.oracle)
                self.finished_count += 1
                if self.finished_count == notify_after:
                    self._enough.set()
        except OSError:
            self._enough.set()

    def wait_for_enough(self) -> None:
        assert self._enough.wait(SLOWEST_CHANGE_S), "the writer got stuck"


def _touched_by(change: Change) -> set[str]:
    touched = {change.path}
    if isinstance(change, Move):
        touched.add(change.target)
    if isinstance(change, Save):
        touched.add(change.path + ".tmp")
    return touched


def _without(tree: Tree, paths: set[str]) -> Tree:
    return {
        path: entry for path, entry in tree.items() if path not in paths and entry.kind != "folder"
    }


def _kill_in_the_middle(mount: Mount, writer: Writer, notify_after: int) -> None:
    thread = threading.Thread(target=writer.run, args=(notify_after,), daemon=True)
    thread.start()
    writer.wait_for_enough()
    mount.kill()
    thread.join(SLOWEST_CHANGE_S)
    assert not thread.is_alive(), "a program stays blocked after the daemon is gone"


def test_everything_written_is_there_after_the_next_mount(
    device: NewDevice, mounted: NewMount, tmp_path: Path
) -> None:
    here, there = mounted(device("laptop")), mounted(device("desktop"))
    oracle = tmp_path / "oracle"
    oracle.mkdir()
    chance = random.Random(1)
    for moment in range(MOMENTS):
        writer = Writer(here.path, oracle, chance)
        _kill_in_the_middle(here, writer, chance.randrange(1, CHANGES_UNTIL_KILL_MAX))
        here.restart()
        assert writer.in_the_air is not None
        touched = _touched_by(writer.in_the_air)
        expected = read_tree(oracle, with_times=False)
        found = read_tree(here.path, with_times=False)
        try:
            assert_same_tree(_without(expected, touched), _without(found, touched))
        except AssertionError as error:
            raise AssertionError(f"moment {moment}, during {writer.in_the_air!r:.200}") from error
        # The oracle may have failed to follow only when the mount failed first.
        writer.in_the_air.make(here.path)
        writer.in_the_air.make(oracle)
    assert_same_tree(read_tree(oracle, with_times=False), read_tree(here.path, with_times=False))
    check_everything_arrived(here, there)


def test_killed_while_a_big_file_goes_up(device: NewDevice, mounted: NewMount) -> None:
    here, there = mounted(device("laptop")), mounted(device("desktop"))
    content = random.Random(2).randbytes(48 << 20)
    for moment in range(4):
        path = here.path / f"big{moment}"
        path.write_bytes(content)
        # The bytes are on their way now, or not yet: either must survive.
        here.kill()
        here.restart()
        assert path.read_bytes() == content
    check_everything_arrived(here, there)


def test_both_mounts_killed_and_the_server_restarted(
    server: Server, device: NewDevice, mounted: NewMount
) -> None:
    here, there = mounted(device("laptop")), mounted(device("desktop"))
    for mount in (here, there):
        mount.process.expected += UNREACHABLE
    (here.path / "from here").write_bytes(b"here")
    (there.path / "from there").write_bytes(b"there")
    here.kill()
    there.kill()
    server.kill()
    server.start()
    here.restart()
    there.restart()
    check_everything_arrived(here, there)
    assert (here.path / "from there").read_bytes() == b"there"
    assert (there.path / "from here").read_bytes() == b"here"
