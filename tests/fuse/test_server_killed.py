"""SIGKILL of the server at many moments: nothing acknowledged is lost, and clients carry on."""

import random
import threading
import time
from pathlib import Path

import pytest

from harness.alarms import UNREACHABLE
from harness.changes import draw_change
from harness.fixtures import NewDevice, NewMount
from harness.mount import check_everything_arrived
from harness.server import Server
from harness.trees import assert_same_tree, read_tree

pytestmark = [pytest.mark.fuse, pytest.mark.slow]

MOMENTS = 8
LONGEST_ANSWER_S = 5.0
"""A change on the mount never waits for the server. Generous: two cores carry all of this."""


def test_clients_carry_on_and_nothing_is_lost(
    server: Server, device: NewDevice, mounted: NewMount, tmp_path: Path
) -> None:
    here, there = mounted(device("laptop")), mounted(device("desktop"))
    here.process.expected += UNREACHABLE
    there.process.expected += UNREACHABLE
    oracle = tmp_path / "oracle"
    oracle.mkdir()
    chance = random.Random(3)
    slowest_s = 0.0
    for _ in range(MOMENTS):
        killed = threading.Thread(target=_kill_and_start, args=(server, chance.random()))
        killed.start()
        while killed.is_alive():
            change = draw_change(chance)
            begun = time.monotonic()
            change.make(here.path)
            slowest_s = max(slowest_s, time.monotonic() - begun)
            change.make(oracle)
    assert slowest_s < LONGEST_ANSWER_S
    assert_same_tree(read_tree(oracle, with_times=False), read_tree(here.path, with_times=False))
    check_everything_arrived(here, there)
    assert_same_tree(read_tree(oracle, with_times=False), read_tree(there.path, with_times=False))


def _kill_and_start(server: Server, moment_s: float) -> None:
    # The moment is part of what is tested, not a wait for something to be ready.
    time.sleep(moment_s)
    server.kill()
    server.start()


def test_what_sync_confirmed_survives_the_server_and_both_clients(
    server: Server, device: NewDevice, mounted: NewMount
) -> None:
    here = mounted(device("laptop"))
    here.process.expected += UNREACHABLE
    contents = {}
    for index in range(5):
        content = random.Random(index).randbytes(200_000 * index + 100)
        contents[f"synced{index}"] = content
        (here.path / f"synced{index}").write_bytes(content)
        here.sync()
        server.kill()
        server.start()
    here.kill()
    server.kill()
    server.start()
    # A device that has never seen the drive has only the server to tell it.
    fresh = mounted(device("new"))
    for name, content in contents.items():
        assert (fresh.path / name).read_bytes() == content


def test_a_server_that_stops_in_order_takes_up_again(
    server: Server, device: NewDevice, mounted: NewMount
) -> None:
    here, there = mounted(device("laptop")), mounted(device("desktop"))
    here.process.expected += UNREACHABLE
    there.process.expected += UNREACHABLE
    for index in range(3):
        (here.path / f"before{index}").write_bytes(b"before")
        server.stop()
        (here.path / f"while away{index}").write_bytes(b"away")
        assert (here.path / f"before{index}").read_bytes() == b"before"
        server.start()
    check_everything_arrived(here, there)
