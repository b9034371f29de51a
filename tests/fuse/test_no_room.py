"""No room: disk full on either side, quota exceeded. The right errno, a message, nothing lost."""

import errno
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.alarms import UNREACHABLE
from harness.fixtures import NewDevice, NewMount, NewServer
from harness.mount import check_everything_arrived
from harness.server import Server
from harness.small_disk import SmallDisk, can_make_disks, small_disk
from harness.waiting import wait_until

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(not can_make_disks(), reason="making a small disk needs root"),
]

MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with ExitStack() as at_end:
        yield at_end.enter_context(small_disk(tmp_path / "small-disk", size_mib=96))


def _write_until_refused(
    folder: Path, *, file_mib: int, count: int
) -> tuple[dict[str, bytes], int]:
    """Write files until one is refused. Returns those whose close succeeded, and the errno."""
    written: dict[str, bytes] = {}
    chance = random.Random(9)
    for index in range(count):
        content = chance.randbytes(file_mib * MIB)
        path = folder / f"f{index}"
        try:
            with path.open("wb", buffering=0) as file:
                view = memoryview(content)
                while view:
                    view = view[file.write(view[:MIB]) :]
                os.fsync(file.fileno())
        except OSError as error:
            return written, error.errno or 0
        written[path.name] = content
    return written, 0


def test_quota_exceeded(server: Server, device: NewDevice, mounted: NewMount) -> None:
    account = server.add_account("small@example.org", "--quota", "8MiB")
    here = mounted(device("laptop", account=account))
    there = mounted(device("desktop", account=account))
    written, refused_with = _write_until_refused(here.path, file_mib=3, count=5)
    assert errno.errorcode[refused_with] == "EDQUOT"
    assert len(written) == 2
    for name, content in written.items():
        assert (here.path / name).read_bytes() == content
    (here.path / "f2").unlink()
    check_everything_arrived(here, there)
    (here.path / "f0").unlink()
    here.sync()
    (here.path / "again").write_bytes(os.urandom(2 * MIB))
    check_everything_arrived(here, there)


def test_the_staging_share_ends_and_nothing_is_lost(
    server: Server, device: NewDevice, mounted: NewMount
) -> None:
    here = mounted(device("laptop"), "--staging-size", "16MiB")
    here.process.expected += UNREACHABLE
    server.stop()
    wait_until(lambda: not here.status()["online"], deadline_s=60, what="the mount is offline")
    written, refused_with = _write_until_refused(here.path, file_mib=3, count=8)
    assert errno.errorcode[refused_with] == "ENOSPC"
    assert len(written) == 5
    server.start()
    here.sync()
    there = mounted(device("desktop"))
    for name, content in written.items():
        assert (there.path / name).read_bytes() == content
    (here.path / "again").write_bytes(os.urandom(3 * MIB))
    check_everything_arrived(here, there)


def test_holes_and_bytes_written_over_take_no_quota(
    server: Server, device: NewDevice, mounted: NewMount
) -> None:
    account = server.add_account("small@example.org", "--quota", "8MiB")
    here = mounted(device("laptop", account=account))
    there = mounted(device("desktop", account=account))
    with (here.path / "sparse").open("wb", buffering=0) as file:
        os.pwrite(file.fileno(), b"far behind", 1 << 40)
        for _ in range(20):
            os.pwrite(file.fileno(), os.urandom(MIB), 1 << 39)
        os.pwrite(file.fileno(), b"farther", 1 << 41)
    here.sync()
    copy = there.path / "sparse"
    wait_until(copy.exists, deadline_s=30, what="the file is on the other device")
    with copy.open("rb") as file:
        assert os.pread(file.fileno(), 10, 1 << 40) == b"far behind"
        assert os.pread(file.fileno(), 10, 1 << 41) == b"farther"


def test_the_other_device_used_up_the_quota_meanwhile(
    server: Server, device: NewDevice, mounted: NewMount
) -> None:
    account = server.add_account("small@example.org", "--quota", "8MiB")
    here = mounted(device("laptop", account=account))
    server.stop()
    here.process.expected += ["unreachable", "offline", "quota"]
    content = random.Random(10).randbytes(5 * MIB)
    (here.path / "ours").write_bytes(content)
    here.kill()
    server.start()
    there = mounted(device("desktop", account=account))
    (there.path / "theirs").write_bytes(random.Random(11).randbytes(5 * MIB))
    there.sync()
    here.restart()
    # Accepted while there was room as far as we knew; parked, listed, and not lost.
    done = here.try_sync()
    assert done.code == 1, f"{done}"
    assert "quota" in done.err.lower()
    assert (here.path / "ours").read_bytes() == content
    assert here.status()["parked"], "status lists what waits for a person"
    (there.path / "theirs").unlink()
    there.sync()
    wait_until(
        lambda: not here.status()["parked"], deadline_s=60, what="it is tried when room comes"
    )
    check_everything_arrived(here, there)


def test_the_device_s_disk_is_full(device: NewDevice, mounted: NewMount, disk: SmallDisk) -> None:
    here = mounted(device("laptop", state=disk.path / "state"))
    here.process.expected += ["disk", "space", "full"]
    there = mounted(device("desktop"))
    written, refused_with = _write_until_refused(here.path, file_mib=16, count=40)
    if refused_with:
        assert errno.errorcode[refused_with] == "ENOSPC"
    for name, content in written.items():
        assert (here.path / name).read_bytes() == content
    (here.path / f"f{len(written)}").unlink(missing_ok=True)
    disk.resize(600)
    check_everything_arrived(here, there)


def test_the_device_s_disk_is_full_while_offline(
    server: Server, device: NewDevice, mounted: NewMount, disk: SmallDisk
) -> None:
    here = mounted(device("laptop", state=disk.path / "state"))
    here.process.expected += ["disk", "space", "full", "unreachable", "offline"]
    server.stop()
    written, refused_with = _write_until_refused(here.path, file_mib=8, count=30)
    assert errno.errorcode[refused_with] == "ENOSPC"
    for name, content in written.items():
        assert (here.path / name).read_bytes() == content
    assert here.path.stat()
    (here.path / f"f{len(written)}").unlink()
    server.start()
    here.kill()
    here.restart()
    there = mounted(device("desktop"))
    check_everything_arrived(here, there)
    for name, content in written.items():
        assert (there.path / name).read_bytes() == content


def test_the_server_s_disk_is_full(
    new_server: NewServer, device: NewDevice, mounted: NewMount, disk: SmallDisk
) -> None:
    server = new_server(data=disk.path / "data")
    server.process.expected += ["StorageFull"]
    account = server.add_account()
    here = mounted(device("laptop", url=server.url, account=account))
    here.process.expected += ["disk", "space", "full", "storage"]
    there = mounted(device("desktop", url=server.url, account=account))
    content = random.Random(12).randbytes(120 * MIB)
    (here.path / "big").write_bytes(content)
    (here.path / "small").write_bytes(b"small")
    assert here.try_sync(60).code != 0
    assert (here.path / "big").read_bytes() == content
    disk.resize(800)
    wait_until(
        lambda: here.try_sync().code == 0, deadline_s=120, what="it goes up once there is room"
    )
    check_everything_arrived(here, there)


def test_a_state_folder_that_became_read_only(
    device: NewDevice, mounted: NewMount, disk: SmallDisk
) -> None:
    laptop = device("laptop", state=disk.path / "state")
    disk.make_read_only()
    (laptop.folder / "drive").mkdir()
    done = laptop.command("mount", laptop.folder / "drive", "--state", laptop.state, timeout_s=30)
    assert done.code == 1, f"{done}"
    assert "Traceback" not in done.err
    assert str(laptop.state) in done.err
