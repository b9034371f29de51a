"""The link dies in the middle of each kind of request, and every program is answered in time.

It is cut (every connection is reset) or frozen: nothing passes, nobody is told, and what was
connected stays dead when the link is back, so that the device's own timeouts must end it. Each
kind of request, at each place in it, and both ways to die are one case. The default run cuts each
kind at one place, in lanes side by side, and freezes one, without waiting for the half minute
that a dead connection takes to be given up; `LINK_CUTS=all` goes through everything.
"""

import os
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from harness.alarms import UNREACHABLE
from harness.fixtures import NewDevice, NewMount, NewRelay
from harness.http_watch import Place, Trap
from harness.mount import Mount, become_visible, check_everything_arrived, mounted_at
from harness.prober import Call, Prober, uninterruptible
from harness.relay import Action, Relay
from harness.waiting import wait_until

pytestmark = [pytest.mark.fuse, pytest.mark.slow]

LOCAL_S: Final = 5.0
"""What needs no server answers at once; this is a busy machine's moment."""
UNCACHED_S: Final = 10.0 + 3.0
"""Within ten seconds, or at once when known offline."""
SPRUNG_S: Final = 30.0
ARRIVE_S: Final = 120.0
"""A frozen call ends after 30 s without a byte, the poll after 70."""
UNCACHED_FAILURES: Final = ("", "ENETUNREACH", "ETIMEDOUT")
IS_WHOLE: Final = os.environ.get("LINK_CUTS") == "all"
LANES: Final = 4
KNOWN_START_S: Final = 5.0 + LOCAL_S
"""A mount that knows its drives asks the server for five seconds at most."""
FIRST_START_S: Final = 60.0
"""Without a tree there is nothing to show: it gives up when the first page does not come."""


class Case(NamedTuple):
    trap: Trap
    action: Action

    def __str__(self) -> str:
        return f"{self.action} at {self.trap.kind}, {self.trap.place.value}"


_EVERYWHERE: Final = tuple(Place)
_WITHOUT_BODY: Final = (Place.REQUEST, Place.ANSWER, Place.ANSWER_BODY)
KINDS: Final = {
    "changes/poll": _EVERYWHERE,
    "changes": _WITHOUT_BODY,
    "commits": _EVERYWHERE,
    "uploads": _EVERYWHERE,
    "blocks": _EVERYWHERE,
    "blocks/fetch": _EVERYWHERE,
    "manifests/fetch": _EVERYWHERE,
    "blocks/lost": _WITHOUT_BODY,
}
"""Requests of a mount at work; those of its start are below."""
ACTIONS: Final[tuple[Action, ...]] = ("cut", "freeze")


def all_cases() -> list[Case]:
    return [
        Case(Trap(kind, place), action)
        for kind, places in KINDS.items()
        for place, action in product(places, ACTIONS)
    ]


def some_cases() -> list[list[Case]]:
    """Each kind cut at one place, each place with two kinds, in two lanes; one kind frozen."""
    cut = [
        Case(Trap(kind, places[number % len(places)]), "cut")
        for number, (kind, places) in enumerate(KINDS.items())
    ]
    return [cut[::2], cut[1::2], [Case(Trap("blocks/fetch", Place.BODY), "freeze")]]


READS: Final = ("blocks/fetch", "manifests/fetch")
UNCACHED_BYTES: Final = 3 << 20
"""More chunks than travel with a node: its manifest must be asked for too."""


class Lane:
    """One device behind a link of its own, and programs at work on its mount."""

    def __init__(self, mount: Mount, relay: Relay, there: Mount, *, home: Path) -> None:
        self._mount, self._relay, self._there = mount, relay, there
        self._name = mount.device.name
        self._chance = random.Random(self._name)
        self._count = 0
        for name in (f"cached {self._name}", "appended"):
            (mount.path / name).write_bytes(self._chance.randbytes(100_000))
        mount.sync()
        self.prober = Prober(mount.path, mount.path / f"cached {self._name}", home=home)

    def go_through(self, cases: Sequence[Case]) -> list[str]:
        """Return what was not as it should be, a line each."""
        faults = []
        for case in cases:
            for mount in (self._mount, self._there):
                mount.watch_for_hanging()
            began_s = time.monotonic()
            faults += [f"{case}: {fault}" for fault in self._go_through(case)]
            print(f"{time.monotonic() - began_s:6.1f} s  {case}", flush=True)
        return faults

    def _go_through(self, case: Case) -> list[str]:
        uncached = self._written_there(UNCACHED_BYTES)
        if case.trap.kind == "blocks/lost":  # asked for when the server is back
            self._relay.cut()
            wait_until(lambda: not self._mount.status()["online"], deadline_s=30, what="offline")
        self._relay.set_trap(case.trap, case.action)
        self._provoke(case.trap.kind, uncached)
        wait_until(lambda: self._relay.is_sprung, deadline_s=SPRUNG_S, what=f"{case} is provoked")
        if case.trap.kind not in READS:
            self.prober.begin(uncached)
        faults = faults_of(self.prober.end())
        faults += [f"state D: {thread}" for thread in uninterruptible(self.prober.pid)]
        self._relay.heal()
        if IS_WHOLE or case.action == "cut":
            self._check_all_arrives(uncached)
        return faults

    def _provoke(self, kind: str, uncached: Path) -> None:
        """Do what makes the device ask for `kind`."""
        match kind:
            case "changes/poll" | "changes":
                self._write_there(500)
            case "commits":
                self._write_here(500)
            case "uploads" | "blocks":
                self._write_here(300_000)
            case "blocks/fetch" | "manifests/fetch":
                self.prober.begin(uncached)
            case "blocks/lost":
                self._relay.heal()

    def _check_all_arrives(self, uncached: Path) -> None:
        here = self._write_here(1_000)
        self._mount.sync()
        become_visible(self._there.path / here.name, here.read_bytes())
        there = self._write_there(1_000)
        wait_until(
            lambda: _content(self._mount.path / there.name) == there.read_bytes(),
            deadline_s=ARRIVE_S,
            what="what the other device wrote arrives",
        )
        wait_until(
            lambda: _content(uncached) == (self._there.path / uncached.name).read_bytes(),
            deadline_s=ARRIVE_S,
            what="what could not be read can be read",
        )

    def _written_there(self, size: int) -> Path:
        """Let the other device write a file; return its path here, once it is here."""
        path = self._mount.path / self._write_there(size).name
        wait_until(path.exists, deadline_s=ARRIVE_S, what="the other device's file arrives")
        return path

    def _write_there(self, size: int) -> Path:
        return self._write(self._there.path, "there", size)

    def _write_here(self, size: int) -> Path:
        return self._write(self._mount.path, "here", size)

    def _write(self, folder: Path, where: str, size: int) -> Path:
        self._count += 1
        path = folder / f"{where} {self._count} by {self._name}"
        path.write_bytes(self._chance.randbytes(size))
        return path


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def faults_of(calls: Sequence[Call]) -> list[str]:
    """Return the calls that took too long or failed without a reason."""
    faults = []
    for call in calls:
        is_uncached = call.name == "read, uncached"
        if call.took_s > (UNCACHED_S if is_uncached else LOCAL_S):
            faults.append(f"{call.name} took {call.took_s:.1f} s")
        if call.failed not in (UNCACHED_FAILURES if is_uncached else ("",)):
            faults.append(f"{call.name} failed with {call.failed}")
    return faults


@pytest.mark.timeout(3600 if IS_WHOLE else 300)
def test_every_call_is_answered_in_time(
    new_relay: NewRelay, device: NewDevice, mounted: NewMount, tmp_path: Path
) -> None:
    cases = random.Random(1).sample(all_cases(), len(all_cases()))  # lanes of about one length
    shares = [cases[number::LANES] for number in range(LANES)] if IS_WHOLE else some_cases()
    there = mounted(device("desktop"))
    with ExitStack() as at_end:
        lanes = []
        for number in range(len(shares)):
            relay = new_relay()
            here = mounted(device(f"laptop {number}", url=relay.url))
            here.process.expected += UNREACHABLE
            lane = Lane(here, relay, there, home=tmp_path)
            at_end.callback(lane.prober.stop)
            lanes.append((here, lane))
        with ThreadPoolExecutor(len(lanes)) as pool:
            found = list(pool.map(Lane.go_through, [lane for _, lane in lanes], shares))
        faults = [fault for share in found for fault in share]
        assert not faults, "\n".join(faults)
        for here, _ in lanes if IS_WHOLE else lanes[:1]:
            check_everything_arrived(here, there)


def test_a_program_that_waits_for_the_server_can_be_killed(
    new_relay: NewRelay, device: NewDevice, mounted: NewMount, tmp_path: Path
) -> None:
    there, relay = mounted(device("desktop")), new_relay()
    (there.path / "uncached").write_bytes(os.urandom(UNCACHED_BYTES))
    there.sync()
    here = mounted(device("laptop", url=relay.url))
    here.process.expected += UNREACHABLE
    prober = Prober(here.path, here.path, home=tmp_path)
    try:
        relay.set_trap(Trap("blocks/fetch", Place.ANSWER), "freeze")
        prober.begin(here.path / "uncached")
        wait_until(lambda: relay.is_sprung, deadline_s=SPRUNG_S, what="the read waits")
    finally:
        began_s = time.monotonic()
        prober.stop()
    assert time.monotonic() - began_s < LOCAL_S
    assert (here.path / "uncached").stat().st_size == UNCACHED_BYTES


START_CASES: Final = [
    Case(Trap(kind, place), action)
    for kind in ("account", "snapshot")
    for place, action in product(_WITHOUT_BODY, ACTIONS)
    if IS_WHOLE or (kind, place, action) in (
        ("account", Place.ANSWER, "freeze"), ("snapshot", Place.ANSWER_BODY, "cut")
    )
]  # fmt: skip


@pytest.mark.parametrize("case", START_CASES, ids=str)
def test_a_mount_starts_or_gives_up_in_time(
    new_relay: NewRelay, device: NewDevice, mounted: NewMount, case: Case
) -> None:
    there, relay = mounted(device("desktop")), new_relay()
    (there.path / "file").write_bytes(b"content")
    there.sync()
    laptop = device("laptop", url=relay.url)
    if case.trap.kind == "account":
        here = mounted(laptop)
        become_visible(here.path / "file", b"content")
        assert here.unmount().code == 0
        relay.set_trap(case.trap, case.action)
        here.process.expected += UNREACHABLE
        began_s = time.monotonic()
        here.start()
        assert time.monotonic() - began_s < KNOWN_START_S
        assert relay.is_sprung
        assert (here.path / "file").read_bytes() == b"content"
    else:
        here = Mount(laptop, laptop.folder / "drive")
        relay.set_trap(case.trap, case.action)
        here.process.start()
        assert here.process.wait(FIRST_START_S) == 3, "the server is unreachable"
        assert relay.is_sprung
        assert not mounted_at(here.path)
    relay.heal()
    if case.trap.kind == "snapshot":
        here = mounted(laptop)
    if IS_WHOLE or case.action == "cut":
        (here.path / "file").write_bytes(b"changed here")
        here.sync()
        become_visible(there.path / "file", b"changed here")
