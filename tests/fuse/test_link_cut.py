"""The link is cut while files are written: the mount keeps answering, all arrives when it heals."""

import errno
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.alarms import UNREACHABLE
from harness.changes import draw_change
from harness.fixtures import NewDevice, NewMount
from harness.mount import Mount, check_everything_arrived
from harness.relay import Relay
from harness.trees import assert_same_tree, names_in, read_tree
from harness.waiting import wait_until

pytestmark = [pytest.mark.fuse, pytest.mark.slow]

LONGEST_ANSWER_S = 5.0
LONGEST_REFUSAL_S = 11.0
"""An uncached read without the server fails within 10 s, and at once when known offline."""
CHANGES_WHILE_CUT = 150


def test_work_goes_on_while_the_link_is_cut(
    relay: Relay, device: NewDevice, mounted: NewMount, tmp_path: Path
) -> None:
    here = mounted(device("laptop", url=relay.url))
    there = mounted(device("desktop"))
    here.process.expected += UNREACHABLE
    oracle = tmp_path / "oracle"
    oracle.mkdir()
    chance = random.Random(4)
    slowest_s = 0.0
    for _ in range(4):
        for step in range(CHANGES_WHILE_CUT):
            if step == 20:
                relay.cut()
            change = draw_change(chance)
            begun = time.monotonic()
            change.make(here.path)
            names_in(here.path)
            slowest_s = max(slowest_s, time.monotonic() - begun)
            change.make(oracle)
        assert_same_tree(
            read_tree(oracle, with_times=False), read_tree(here.path, with_times=False)
        )
        relay.heal()
    assert slowest_s < LONGEST_ANSWER_S
    check_everything_arrived(here, there)
    assert_same_tree(read_tree(oracle, with_times=False), read_tree(there.path, with_times=False))


def test_cut_again_and_again_while_a_big_file_goes_up(
    relay: Relay, device: NewDevice, mounted: NewMount
) -> None:
    here = mounted(device("laptop", url=relay.url))
    there = mounted(device("desktop"))
    here.process.expected += UNREACHABLE
    relay.change(rtt_ms=10, mbit=200)
    content = random.Random(5).randbytes(24 << 20)
    (here.path / "big").write_bytes(content)
    sent = 0
    for _ in range(4):
        # Cut after some more megabytes went up, so each time in the middle.
        relay.reset_counters()
        wait_until(
            lambda: relay.bytes_up_and_down()[0] > 2 << 20,
            deadline_s=60,
            what="the upload goes on",
        )
        sent += relay.bytes_up_and_down()[0]
        relay.cut()
        relay.heal()
    relay.reset_counters()
    check_everything_arrived(here, there)
    sent += relay.bytes_up_and_down()[0]
    # One batch in the air is lost with each cut; what had arrived is not sent again.
    assert sent < 3 * len(content)


def test_a_mount_made_while_cut_shows_what_it_knows(
    relay: Relay, device: NewDevice, mounted: NewMount
) -> None:
    laptop = device("laptop", url=relay.url)
    here = mounted(laptop)
    here.process.expected += UNREACHABLE
    (here.path / "known").write_bytes(b"content " * 10_000)
    (here.path / "folder").mkdir()
    here.sync()
    assert here.unmount().code == 0
    relay.cut()
    here.start()
    assert names_in(here.path) == ["folder", "known"]
    assert (here.path / "known").read_bytes() == b"content " * 10_000
    (here.path / "folder" / "new").write_bytes(b"written without a server")
    relay.heal()
    there = mounted(device("desktop"))
    check_everything_arrived(here, there)
    assert (there.path / "folder" / "new").read_bytes() == b"written without a server"


def test_what_was_at_hand_and_changed_elsewhere_is_at_hand_in_its_new_form(
    relay: Relay, device: NewDevice, mounted: NewMount
) -> None:
    here, there = mounted(device("laptop", url=relay.url)), mounted(device("desktop"))
    here.process.expected += UNREACHABLE
    chance = random.Random(8)
    for name in ("read here", "never read here"):
        (there.path / name).write_bytes(chance.randbytes(2 << 20))
    there.sync()
    wait_until((here.path / "read here").exists, deadline_s=20, what="the names arrive")
    (here.path / "read here").read_bytes()
    _wait_for_cached(here, 2 << 20)
    fresh = {name: chance.randbytes(2 << 20) for name in ("read here", "never read here")}
    for name, content in fresh.items():
        (there.path / name).write_bytes(content)
    there.sync()
    _wait_for_cached(here, 4 << 20)
    relay.cut()
    assert (here.path / "read here").read_bytes() == fresh["read here"]
    assert _time_of_refusal((here.path / "never read here").read_bytes) < LONGEST_REFUSAL_S
    relay.heal()


def test_an_uncached_read_without_the_server_fails_and_does_not_hang(
    relay: Relay, device: NewDevice, mounted: NewMount
) -> None:
    there = mounted(device("desktop"))
    content = random.Random(6).randbytes(3 << 20)
    (there.path / "never read here").write_bytes(content)
    there.sync()
    here = mounted(device("laptop", url=relay.url))
    here.process.expected += UNREACHABLE
    path = here.path / "never read here"
    wait_until(path.exists, deadline_s=20, what="the name arrives")
    relay.cut()

    first_s = _time_of_refusal(path.read_bytes)
    assert first_s < LONGEST_REFUSAL_S
    assert path.stat().st_size == len(content), "stat never needs the network"
    wait_until(
        lambda: _time_of_refusal(path.read_bytes) < 1, deadline_s=30, what="known to be offline"
    )
    relay.heal()
    wait_until(lambda: _reads_as(path, content), deadline_s=60, what="the content is fetched")


def _wait_for_cached(mount: Mount, size_bytes: int) -> None:
    wait_until(
        lambda: mount.status()["cache"]["used_bytes"] >= size_bytes,
        deadline_s=30,
        what=f"{size_bytes} bytes are cached",
    )


def _time_of_refusal(read: Callable[[], object]) -> float:
    begun = time.monotonic()
    refused_with = 0
    try:
        read()
    except OSError as error:
        refused_with = error.errno or 0
    assert refused_with in (errno.ENETUNREACH, errno.ETIMEDOUT), errno.errorcode.get(refused_with)
    return time.monotonic() - begun


def _reads_as(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def test_sync_says_when_the_server_is_unreachable(
    relay: Relay, device: NewDevice, mounted: NewMount
) -> None:
    here = mounted(device("laptop", url=relay.url))
    here.process.expected += UNREACHABLE
    (here.path / "first").write_bytes(b"first")
    here.sync()
    relay.cut()
    (here.path / "second").write_bytes(b"second")
    done = here.try_sync()
    assert done.code == 3, f"{done}"
    assert "server" in done.err.lower()
    relay.heal()
    wait_until(lambda: here.try_sync().code == 0, deadline_s=60, what="sync succeeds again")


def test_readers_do_not_wait_for_writers_on_a_slow_link(
    relay: Relay, device: NewDevice, mounted: NewMount
) -> None:
    here = mounted(device("laptop", url=relay.url))
    (here.path / "small").write_bytes(b"small")
    here.sync()
    relay.change(rtt_ms=100, mbit=8)
    written = threading.Thread(target=(here.path / "big").write_bytes, args=(bytes(8 << 20),))
    written.start()
    for _ in range(20):
        begun = time.monotonic()
        assert (here.path / "small").read_bytes() == b"small"
        assert "small" in names_in(here.path)
        assert time.monotonic() - begun < LONGEST_ANSWER_S
    written.join(60)
    assert not written.is_alive()
    here.sync()
