"""The adapter under the real kernel, over a file system in memory: calls, load, kills, the end.

What the calls mean is tested without a kernel; here it matters that each arrives and is answered.
"""

import errno
import mmap
import os
import random
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adapter_mount import AdapterMount
from mountfs.errors import SetupError
from mountfs.fuse.mount_users import programs_using
from mountfs.fuse.mounting import MountBusy, is_stale, prepare_mount_point, unmount

pytestmark = pytest.mark.fuse

ANSWER_S = 30.0


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[AdapterMount]:
    with AdapterMount(tmp_path / "mount") as made:
        yield made


# Each call arrives ---------------------------------------------------------------------------

Step = Callable[[Path], object]


def _append_twice(top: Path) -> bytes:
    for part in (b"one ", b"two"):
        with (top / "log").open("ab") as file:
            file.write(part)
    return (top / "log").read_bytes()


def _map(top: Path) -> bytes:
    with (top / "mapped").open("w+b") as file:
        file.truncate(10_000)
        with mmap.mmap(file.fileno(), 10_000) as mapped:
            mapped[5_000:5_005] = b"hello"
            mapped.flush()
    return (top / "mapped").read_bytes()


def _unlink_open(top: Path) -> tuple[bytes, int]:
    with (top / "gone").open("w+b") as file:
        file.write(b"still here")
        (top / "gone").unlink()
        file.seek(0)
        return file.read(), os.fstat(file.fileno()).st_nlink


def _list_while_removing(top: Path) -> int:
    folder = top / "many"
    folder.mkdir()
    for number in range(500):
        (folder / f"{number}").touch()
    removed = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            os.unlink(entry.path)  # noqa: PTH108
            removed += 1
    folder.rmdir()
    return removed


def _holes(top: Path) -> bytes:
    with (top / "holes").open("wb") as file:
        file.seek(100_000)
        file.write(b"end")
    os.truncate(top / "holes", 100_010)
    os.truncate(top / "holes", 50)
    os.truncate(top / "holes", 60)
    return (top / "holes").read_bytes()


def _attributes(top: Path) -> tuple[object, ...]:
    path = top / "f"
    path.write_bytes(b"x")
    path.chmod(0o4711)
    os.utime(path, ns=(1_234_567_890_123_456_789, 987_654_321_123_456_789))
    found = path.stat()
    return found.st_mode, found.st_mtime_ns, found.st_size, found.st_nlink, found.st_blocks > 0


def _exchange(top: Path) -> tuple[bytes, bytes]:
    import ctypes

    (top / "left").write_bytes(b"left")
    (top / "right").write_bytes(b"right")
    libc = ctypes.CDLL(None, use_errno=True)
    names = [os.fsencode(top / name) for name in ("left", "right")]
    if libc.renameat2(-100, names[0], -100, names[1], 2):
        raise OSError(ctypes.get_errno(), "renameat2")
    return (top / "left").read_bytes(), (top / "right").read_bytes()


STEPS: list[Step] = [
    lambda top: (top / "a").write_bytes(b"hello"),
    lambda top: (top / "a").read_bytes(),
    lambda top: (top / "a").open("xb"),
    lambda top: (top / "d" / "e").mkdir(parents=True),
    lambda top: (top / "d").rmdir(),
    lambda top: (top / "d").unlink(),
    lambda top: (top / "a").rename(top / "d" / "b"),
    lambda top: sorted(os.listdir(top / "d")),  # noqa: PTH208
    lambda top: (top / "d").rename(top / "d" / "e" / "f"),
    lambda top: (top / "l").symlink_to("d/b"),
    lambda top: (top / "l").readlink(),
    lambda top: (top / "l").read_bytes(),
    lambda top: os.link(top / "d" / "b", top / "h"),
    lambda top: (top / "h").stat().st_nlink,
    lambda top: (top / "d" / "b").samefile(top / "h"),
    lambda top: os.mkfifo(top / "pipe", 0o600),
    lambda top: stat.S_ISFIFO((top / "pipe").stat().st_mode),
    lambda top: (top / "absent").stat(),
    lambda top: (top / ("n" * 255)).write_bytes(b""),
    lambda top: (top / ("n" * 256)).write_bytes(b""),
    lambda top: os.statvfs(top).f_namemax,
    lambda top: os.getxattr(top / "h", "user.none"),
    lambda top: sorted(entry.name for entry in os.scandir(top)),
    _append_twice,
    _map,
    _unlink_open,
    _list_while_removing,
    _holes,
    _attributes,
    _exchange,
]


def _run(step: Step, top: Path) -> object:
    try:
        done = step(top)
    except OSError as error:
        return error.errno
    return None if hasattr(done, "fileno") or isinstance(done, Path) else done


def test_calls_do_what_they_do_on_a_plain_folder(mount: AdapterMount, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for number, step in enumerate(STEPS):
        expected, found = _run(step, plain), _run(step, mount.path)
        if expected == errno.ENODATA and found == errno.EOPNOTSUPP:
            continue  # user xattrs: answered with ENOSYS once, see operations.py
        assert found == expected, f"step {number}"


def test_listing_shows_the_folder_itself_as_others_do(mount: AdapterMount) -> None:
    (mount.path / "f").touch()
    shown = subprocess.run(
        ["ls", "-a", mount.path], capture_output=True, text=True, check=True
    ).stdout.split()
    assert shown == [".", "..", "f"]


def test_an_absent_name_is_asked_for_once(mount: AdapterMount) -> None:
    for _ in range(3):
        assert not (mount.path / "absent").exists()
    first = mount.ask("counts").lookups
    for _ in range(100):
        assert not (mount.path / "absent").exists()
    assert mount.ask("counts").lookups == first
    (mount.path / "absent").write_bytes(b"here now")
    assert (mount.path / "absent").read_bytes() == b"here now"


def test_what_is_listed_is_not_looked_up(mount: AdapterMount) -> None:
    for number in range(50):
        (mount.path / f"n{number}").touch()
    before = mount.ask("counts").lookups
    for entry in os.scandir(mount.path):
        assert entry.stat().st_size == 0
    assert mount.ask("counts").lookups == before


def test_removed_nodes_are_forgotten(mount: AdapterMount) -> None:
    (mount.path / "d").mkdir()
    before = mount.ask("counts").nodes
    for number in range(200):
        (mount.path / "d" / f"{number}").write_bytes(b"x")
    assert len(os.listdir(mount.path / "d")) == 200  # noqa: PTH208
    for number in range(200):
        (mount.path / "d" / f"{number}").unlink()
    deadline = time.monotonic() + ANSWER_S
    while mount.ask("counts").nodes > before:
        assert time.monotonic() < deadline, "lookups are not counted as the kernel counts them"


def test_a_bug_in_the_file_system_is_eio_and_the_mount_goes_on(mount: AdapterMount) -> None:
    mount.expects_alarms = True
    with pytest.raises(OSError, match="Input/output"):
        (mount.path / "broken").stat()
    (mount.path / "f").write_bytes(b"fine")
    assert (mount.path / "f").read_bytes() == b"fine"


# Load ----------------------------------------------------------------------------------------


def _work(top: Path, seed: int, rounds: int) -> None:
    """Make, change, move and remove files; assert after each step that they are as they must be."""
    chance = random.Random(seed)
    top.mkdir()
    for number in range(rounds):
        path, moved = top / f"{number}", top / f"moved-{number}"
        data = chance.randbytes(chance.choice((10, 5_000, 200_000)))
        path.write_bytes(data)
        with path.open("ab") as file:
            file.write(b"tail")
        path.rename(moved)
        assert moved.read_bytes() == data + b"tail"
        assert os.listdir(top) == [moved.name]  # noqa: PTH208
        moved.unlink()


def _in_threads(top: Path, *, count: int, rounds: int) -> None:
    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(_work, top / f"t{seed}", seed, rounds) for seed in range(count)]
        for future in futures:
            future.result(timeout=120)


def test_many_threads_at_once(mount: AdapterMount) -> None:
    _in_threads(mount.path, count=8, rounds=40)


def test_invalidation_under_load_does_not_deadlock(mount: AdapterMount) -> None:
    for number in range(50):
        (mount.path / f"f{number}").write_bytes(b"x" * 10_000)
    done = threading.Event()

    def read_on() -> None:
        while not done.is_set():
            for number in range(50):
                assert len((mount.path / f"f{number}").read_bytes()) == 10_000

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read_on) for _ in range(3)]
        mount.tell("stir 300")
        _in_threads(mount.path, count=4, rounds=15)
        mount.counts()
        done.set()
        for reader in readers:
            reader.result(timeout=ANSWER_S)


def test_programs_killed_while_they_ask_freeze_nothing(mount: AdapterMount) -> None:
    """Their requests are gone before they are read: the trap that `trio_shim` is about."""
    (mount.path / "f").write_bytes(b"x")
    code = (
        "import ctypes, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "space = ctypes.create_string_buffer(256)\n"
        "print('asks', flush=True)\n"
        # AT_STATX_FORCE_SYNC: a request each time, whatever the kernel remembers.
        "while True: libc.statx(-100, sys.argv[1].encode(), 0x2000, 0x7ff, space)\n"
    )
    command = [sys.executable, "-c", code, str(mount.path / "f")]
    mount.ask("stall")
    chance = random.Random(1)
    for _ in range(25):
        asking = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert asking.stdout is not None
        assert asking.stdout.readline() == "asks\n"
        time.sleep(chance.uniform(0.0, 0.1))
        asking.kill()
        asking.communicate()
        # Nobody asks any more: a process frozen in a read would stay so.
        waiting = threading.Thread(target=mount.ask, args=("counts",), daemon=True)
        waiting.start()
        waiting.join(ANSWER_S)
        assert not waiting.is_alive(), "the event loop is frozen"


# The end -------------------------------------------------------------------------------------


def test_a_killed_mount_is_replaced(mount: AdapterMount) -> None:
    (mount.path / "f").write_bytes(b"x")
    with (mount.path / "f").open("rb"):
        mount.kill()
        with pytest.raises(OSError, match="not connected"):
            os.statvfs(mount.path)
        assert is_stale(mount.path)
        mount.start()
    assert os.listdir(mount.path) == []  # noqa: PTH208
    assert is_stale(mount.path) is False


def test_an_occupied_mount_point_is_refused(mount: AdapterMount) -> None:
    with pytest.raises(SetupError, match="already mounted") as raised:
        prepare_mount_point(mount.path)
    assert "umount" in raised.value.remedy
    (mount.path / "f").write_bytes(b"as before")


def test_a_mount_in_use_is_not_unmounted_and_we_know_by_whom(mount: AdapterMount) -> None:
    command = [sys.executable, "-c", "print(1, flush=True); input()"]
    program = subprocess.Popen(
        command, cwd=mount.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        program.stdout.readline()
        with pytest.raises(MountBusy):
            unmount(mount.path)
        (user,) = programs_using(mount.path)
        assert (user.pid, user.path) == (program.pid, str(mount.path))
    finally:
        program.communicate("\n", timeout=ANSWER_S)
    assert programs_using(mount.path) == []
    unmount(mount.path)
    mount.stop()


def test_stopping_under_load_ends_every_program_with_an_error_or_an_answer(
    mount: AdapterMount,
) -> None:
    def ask() -> int:
        for number in range(1_000_000):
            try:
                (mount.path / f"{number}").write_bytes(b"x")
            except OSError as error:
                return error.errno or 0
        return 0

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        while mount.ask("counts").nodes < 100:
            pass
        mount.stop()
        for future in asking:
            assert future.result(timeout=ANSWER_S) in (errno.ENOTCONN, errno.ECONNABORTED)
