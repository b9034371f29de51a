"""One device torments a file, the other reads it meanwhile; then they change places.

Each page that is read was so at some moment, and the moments never go back. Longer:
`TORTURE_STEPS=20000 pytest tests/fuse/test_one_file_on_two_devices.py`.
"""

import mmap
import os
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from differential.page_history import PAGE_BYTES, PageHistory, Reader
from harness.fixtures import NewDevice, NewMount
from harness.mount import ARRIVE_DEADLINE_S, Mount, become_visible
from harness.waiting import wait_until

pytestmark = [pytest.mark.fuse, pytest.mark.slow]

STEPS = int(os.environ.get("TORTURE_STEPS", "300"))
SEED = int(os.environ.get("TORTURE_SEED", "1"))
KIB, MIB = 1 << 10, 1 << 20
TURNS = 2
SENDS = 4
SIZES_BYTES = (16 * KIB, 700 * KIB) if STEPS <= 300 else (5000, 16 * KIB, 700 * KIB, 20 * MIB)


class Writer(threading.Thread):
    """Writes at random places of `file`, through handles and maps; it is sent now and then."""

    def __init__(self, mount: Mount, history: PageHistory, seed: int) -> None:
        super().__init__(daemon=True)
        self._mount, self._path, self._history = mount, mount.path / "file", history
        self._chance = random.Random(seed)
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            for _ in range(SENDS):
                file = os.open(self._path, os.O_RDWR)
                for _ in range(STEPS // SENDS):
                    self._step(file)
                os.close(file)
                self._mount.sync()
        except Exception as error:
            self.error = error

    def _step(self, file: int) -> None:
        chance = self._chance
        kind = chance.choices(("write", "map", "sync"), (12, 4, 1))[0]
        if kind == "sync":
            os.fsync(file)
        elif kind == "write":
            size = len(self._history.content)
            offset = chance.randrange(size)
            data = chance.randbytes(min(size - offset, chance.choice((1, 500, 4096, 20_000))))
            self._history.write(offset, data)
            assert os.pwrite(file, data, offset) == len(data)
        else:
            page = chance.randrange(self._history.pages_count)
            data = chance.randbytes(PAGE_BYTES)
            self._history.write(page * PAGE_BYTES, data)
            with mmap.mmap(file, 0) as mapped:
                mapped[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = data
                mapped.flush()


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, mmap.mmap]]:
    """One handle and one map, held over all changes: to open anew drops what the kernel has."""
    file = os.open(path, os.O_RDONLY)
    try:
        with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as mapped:
            yield file, mapped
    finally:
        os.close(file)


def test_reads_elsewhere_never_go_back_in_time(device: NewDevice, mounted: NewMount) -> None:
    mounts = [mounted(device(name), "--cache-size", "1MiB") for name in ("laptop", "desktop")]
    for size_bytes in SIZES_BYTES:
        for mount in mounts:
            mount.watch_for_hanging()
        _torment_in_turns(mounts, size_bytes)
    assert [path.name for path in mounts[0].path.iterdir()] == ["file"], "nobody met: no conflict"


def _torment_in_turns(mounts: Sequence[Mount], size_bytes: int) -> None:
    chance = random.Random(SEED)
    content = chance.randbytes(size_bytes)
    (mounts[0].path / "file").write_bytes(content)
    mounts[0].sync()
    become_visible(mounts[1].path / "file", content)
    for turn in range(TURNS):
        content = _torment(mounts[turn % 2], mounts[1 - turn % 2], content, SEED * 100 + turn)


def _torment(here: Mount, there: Mount, content: bytes, seed: int) -> bytes:
    """Let `here` write and `there` read; return what the file has in the end, on both."""
    history, chance = PageHistory(content), random.Random(seed)
    reader = Reader(history)
    writer = Writer(here, history, seed)
    reads_count = moved_count = 0
    with _opened(there.path / "file") as (file, mapped):
        writer.start()
        while writer.is_alive():
            before = reader.at_write
            page = chance.randrange(history.pages_count)
            start, end = page * PAGE_BYTES, (page + 1) * PAGE_BYTES
            is_mapped = chance.random() < 0.3
            found = mapped[start:end] if is_mapped else os.pread(file, PAGE_BYTES, start)
            reader.read(page, found)
            reads_count += 1
            moved_count += reader.at_write > before
        assert writer.error is None, writer.error
        wait_until(
            lambda: os.pread(file, len(content), 0) == mapped[:] == history.content,
            deadline_s=ARRIVE_DEADLINE_S,
            what="who has it open sees the last write",
        )
    assert (here.path / "file").read_bytes() == history.content
    assert reads_count > 20
    assert moved_count > 2, "the reader saw the file change"
    return history.content
