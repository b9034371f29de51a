"""A laptop that sleeps while its connections are forgotten, and a link that comes and goes."""

import random
import signal
import threading
import time
from pathlib import Path

import pytest

from harness.alarms import UNREACHABLE
from harness.fixtures import NewDevice, NewMount
from harness.mount import Mount, become_visible, check_everything_arrived
from harness.relay import Relay
from mountfs.app.wake_watch import LOOK_EVERY_S, SLEPT_S

pytestmark = pytest.mark.fuse

NOTICED_WITHIN_S = LOOK_EVERY_S + 8.0
"""A wake is seen at the next look; the rest is a question to the server on a busy machine. Without
the watch a call on a forgotten connection is given up after 30 s, and the poll after 70."""
FLAPS = 6
TRIES_A_FLAP_MAX = 20  # 8, measured


def sleep_and_forget(mount: Mount, relay: Relay) -> None:
    """Stop the daemon for longer than it may be busy; its connections are dead when it goes on."""
    mount.process.send(signal.SIGSTOP)
    relay.forget()
    threading.Event().wait(SLEPT_S + LOOK_EVERY_S + 1.0)
    mount.process.send(signal.SIGCONT)


def test_a_laptop_that_slept_is_in_step_again_at_once(
    relay: Relay, device: NewDevice, mounted: NewMount
) -> None:
    here = mounted(device("laptop", url=relay.url))
    there = mounted(device("desktop"))
    (here.path / "known").write_bytes(b"before")
    check_everything_arrived(here, there)
    sleep_and_forget(here, relay)
    began_s = time.monotonic()
    (there.path / "known").write_bytes(b"meanwhile")
    there.sync()
    (here.path / "new").write_bytes(b"behind")
    assert here.path.stat()
    become_visible(here.path / "known", b"meanwhile")
    become_visible(there.path / "new", b"behind")
    assert time.monotonic() - began_s < NOTICED_WITHIN_S
    check_everything_arrived(here, there)


def test_a_link_that_comes_and_goes_lets_all_through_without_a_storm(
    relay: Relay, device: NewDevice, mounted: NewMount
) -> None:
    """Up for a second, down for a second, while files are written on both sides."""
    here = mounted(device("laptop", url=relay.url))
    there = mounted(device("desktop"))
    here.process.expected += UNREACHABLE
    chance = random.Random(3)
    contents = {f"f{n}": chance.randbytes(40_000) for n in range(2 * FLAPS)}
    relay.reset_counters()
    is_over = threading.Event()

    def flap() -> None:
        for _ in range(FLAPS):
            relay.cut()
            is_over.wait(1.0)
            relay.heal()
            is_over.wait(1.0)

    flapping = threading.Thread(target=flap)
    flapping.start()
    for number, (name, content) in enumerate(contents.items()):
        (here if number % 2 else there).path.joinpath(name).write_bytes(content)
        is_over.wait(0.7)
    arrived = _arrived(there.path, contents)
    flapping.join()
    assert arrived >= FLAPS, "what is written gets through between two cuts"
    assert relay.tries_count() < FLAPS * TRIES_A_FLAP_MAX
    check_everything_arrived(here, there)
    for name, content in contents.items():
        assert (there.path / name).read_bytes() == content


def _arrived(folder: Path, contents: dict[str, bytes]) -> int:
    return sum((folder / name).exists() for name in contents)
