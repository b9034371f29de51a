"""Invalidation: nothing is lost, equal notes coalesce, a stuck folder holds one thread."""

import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from mountfs.fuse.invalidator import Invalidator
from mountfs.vfs.interface import Inode

WAIT_S = 20.0


class Kernel:
    """Remembers what it was told. `gate` of an inode keeps who tells about it waiting."""

    def __init__(self) -> None:
        self.told: Counter[tuple[object, ...]] = Counter()
        self.gates: dict[int, threading.Event] = {}
        self.inside: Counter[int] = Counter()
        self.most_inside: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self.unknown: set[int] = set()

    def forget_content(self, inode: int) -> None:
        self._tell(inode, "content", inode)

    def forget_attributes(self, inode: int) -> None:
        self._tell(inode, "attributes", inode)

    def forget_entry(self, parent: int, name: bytes) -> None:
        self._tell(parent, "entry", parent, name)

    def _tell(self, inode: int, *what: object) -> None:
        with self._lock:
            self.inside[inode] += 1
            self.most_inside[inode] = max(self.most_inside[inode], self.inside[inode])
            self._changed.notify_all()
        if inode in self.gates:
            assert self.gates[inode].wait(WAIT_S)
        with self._lock:
            self.inside[inode] -= 1
            self.told[what] += 1
            self._changed.notify_all()
        if inode in self.unknown:
            raise FileNotFoundError

    def wait_told(self, *what: object) -> None:
        with self._lock:
            assert self._changed.wait_for(lambda: self.told[what], WAIT_S), f"{what} is lost"

    def wait_inside(self, inode: int) -> None:
        with self._lock:
            assert self._changed.wait_for(lambda: self.inside[inode], WAIT_S)


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def invalidator(kernel: Kernel) -> Iterator[Invalidator]:
    made = Invalidator(kernel, threads=3, names_max=8)
    made.arm()
    yield made
    for gate in kernel.gates.values():
        gate.set()
    made.disarm()
    assert made.join(WAIT_S)


def test_each_note_is_told(kernel: Kernel, invalidator: Invalidator) -> None:
    invalidator.invalidate_content(Inode(2))
    invalidator.invalidate_attributes(Inode(3))
    invalidator.invalidate_entry(Inode(4), b"name")
    kernel.wait_told("content", 2)
    kernel.wait_told("attributes", 3)
    kernel.wait_told("entry", 4, b"name")


def test_equal_notes_coalesce_while_one_is_being_told(
    kernel: Kernel, invalidator: Invalidator
) -> None:
    kernel.gates[2] = threading.Event()
    invalidator.invalidate_content(Inode(2))
    kernel.wait_inside(2)
    for _ in range(1000):
        invalidator.invalidate_content(Inode(2))
        invalidator.invalidate_attributes(Inode(2))
        invalidator.invalidate_entry(Inode(2), b"name")
    assert invalidator.pending_count == 1
    kernel.gates[2].set()
    kernel.wait_told("entry", 2, b"name")
    assert kernel.told["content", 2] == 2, "once, and once for what came meanwhile"
    assert kernel.told["attributes", 2] == 0, "content covers it"
    assert kernel.told["entry", 2, b"name"] == 1


def test_a_stuck_folder_holds_one_thread(kernel: Kernel, invalidator: Invalidator) -> None:
    kernel.gates[2] = threading.Event()
    for name in range(100):
        invalidator.invalidate_entry(Inode(2), b"%d" % name)
    kernel.wait_inside(2)
    for inode in range(3, 20):
        invalidator.invalidate_content(Inode(inode))
    for inode in range(3, 20):
        kernel.wait_told("content", inode)
    assert kernel.most_inside[2] == 1


def test_more_names_than_memory_may_hold_are_not_lost(
    kernel: Kernel, invalidator: Invalidator
) -> None:
    kernel.gates[2] = threading.Event()
    wanted = [(2 + number % 3, b"name-%d" % number) for number in range(500)]
    for parent, name in wanted:
        invalidator.invalidate_entry(Inode(parent), name)
    kernel.gates[2].set()
    for parent, name in wanted:
        kernel.wait_told("entry", parent, name)


def test_an_inode_that_the_kernel_does_not_know_is_fine(
    kernel: Kernel, invalidator: Invalidator, caplog: pytest.LogCaptureFixture
) -> None:
    kernel.unknown = {2}
    invalidator.invalidate_content(Inode(2))
    invalidator.invalidate_entry(Inode(2), b"name")
    kernel.wait_told("entry", 2, b"name")
    assert not caplog.records


def test_nothing_is_told_before_the_mount_and_after_it(kernel: Kernel) -> None:
    invalidator = Invalidator(kernel, threads=2)
    invalidator.invalidate_content(Inode(2))
    invalidator.arm()
    invalidator.invalidate_content(Inode(3))
    kernel.wait_told("content", 3)
    kernel.gates[4] = threading.Event()
    invalidator.invalidate_entry(Inode(4), b"one")
    invalidator.invalidate_entry(Inode(4), b"two")
    kernel.wait_inside(4)
    invalidator.disarm()
    invalidator.invalidate_content(Inode(5))
    assert not invalidator.join(0.01), "one is still in the kernel"
    kernel.gates[4].set()
    assert invalidator.join(WAIT_S)
    assert ("content", 2) not in kernel.told
    assert ("content", 5) not in kernel.told
    assert sum(kernel.told.values()) <= 3


def test_an_invalidator_that_never_served_ends(kernel: Kernel) -> None:
    invalidator = Invalidator(kernel)
    invalidator.disarm()
    assert invalidator.join(WAIT_S)
