"""Random reads, writes, truncations and maps of one file: every byte reads back.

The mount's cache is far too small for the file, so that what was sent is fetched again. Longer:
`TORTURE_STEPS=20000 pytest tests/fuse/test_one_file_tormented.py`.
"""

import os
from pathlib import Path

import pytest

from differential.torture import Torment, torment, torment_together
from harness.fixtures import NewDevice, NewMount
from harness.mount import Mount

pytestmark = [pytest.mark.fuse, pytest.mark.slow]

STEPS = int(os.environ.get("TORTURE_STEPS", "300"))
SEED = int(os.environ.get("TORTURE_SEED", "1"))
KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def mount(device: NewDevice, mounted: NewMount) -> Mount:
    return mounted(device(), "--cache-size", "1MiB")


@pytest.mark.parametrize("size_bytes", [1, 5000, 700 * KIB, 20 * MIB, 300 * MIB])
def test_by_one_process(mount: Mount, size_bytes: int) -> None:
    path = mount.path / "file"
    rounds = 3
    for round_number in range(rounds):
        path.unlink(missing_ok=True)
        torment(Torment(path, size_bytes, SEED + round_number, STEPS // rounds))
        mount.watch_for_hanging()


def test_by_one_process_while_it_is_sent(mount: Mount) -> None:
    path = mount.path / "file"
    for round_number in range(5):
        torment(Torment(path, 3 * MIB, SEED + round_number, STEPS // 5))
        mount.sync()
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)


@pytest.mark.parametrize("size_bytes", [9000, 900 * KIB, 12 * MIB])
def test_by_four_processes(mount: Mount, size_bytes: int) -> None:
    torment_together(Torment(mount.path / "file", size_bytes, SEED, STEPS), count=4)


def test_the_torture_itself_holds_on_a_local_file(tmp_path: Path) -> None:
    torment(Torment(tmp_path / "file", 700 * KIB, SEED, STEPS))
    torment_together(Torment(tmp_path / "file", 900 * KIB, SEED, STEPS), count=2)
