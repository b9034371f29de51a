"""A file larger than the memory that the mounts may take goes up, comes down, and is the same."""

import hashlib
import random
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.fixtures import NewDevice, NewMount
from harness.mount import Mount
from harness.waiting import wait_until

pytestmark = [pytest.mark.fuse, pytest.mark.slow]

MIB = 1 << 20
MEMORY_BYTES = 256 * MIB
FILE_BYTES = 3 * MEMORY_BYTES


def _let_grow_by(mount: Mount, size_bytes: int) -> None:
    """Bound what the daemon may have in memory of its own, from now on."""
    pid = mount.process.pid
    (line,) = [
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmData:")
    ]
    limit = int(line.split()[1]) * 1024 + size_bytes
    resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))


def _pieces() -> Iterator[bytes]:
    chance = random.Random(7)
    for _ in range(FILE_BYTES // MIB):
        yield chance.randbytes(MIB)


def test_a_file_larger_than_memory(device: NewDevice, mounted: NewMount) -> None:
    here, there = mounted(device("laptop")), mounted(device("desktop"))
    for mount in (here, there):
        _let_grow_by(mount, MEMORY_BYTES)
    digest = hashlib.blake2b()
    with (here.path / "large").open("wb") as file:
        for piece in _pieces():
            file.write(piece)
            digest.update(piece)
    here.sync()
    seen = there.path / "large"
    wait_until(seen.exists, deadline_s=30, what="the name arrives")
    with seen.open("rb") as file:
        assert hashlib.file_digest(file, hashlib.blake2b).digest() == digest.digest()
    for mount in (here, there):
        assert mount.process.is_running
