"""As much as a program may ask for at once: open files, names, depth, positions in a folder."""

import ctypes
import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from harness.shared_drive import SharedDrive
from harness.trees import same_as_on_plain_folder

pytestmark = pytest.mark.fuse

OPEN_FILES = 10_000
DEPTH = 100


@contextmanager
def allowed_files(count: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < count:
        pytest.skip(f"this user may have {before[1]} files open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.slow
def test_ten_thousand_open_files(folder: Path, drive: SharedDrive) -> None:
    with allowed_files(OPEN_FILES + 500):
        drive.here.watch_for_hanging()
        opened = [
            os.open(folder / f"{number}", os.O_RDWR | os.O_CREAT, 0o644)
            for number in range(OPEN_FILES)
        ]
        try:
            for number, descriptor in enumerate(opened):
                os.write(descriptor, b"file %d" % number)
            for number in range(0, OPEN_FILES, 10):
                (folder / f"{number}").unlink()
            for number, descriptor in enumerate(opened):
                assert os.pread(descriptor, 100, 0) == b"file %d" % number
        finally:
            for descriptor in opened:
                os.close(descriptor)
    assert len(os.listdir(folder)) == OPEN_FILES * 9 // 10  # noqa: PTH208
    assert drive.here.status()["pid"] == drive.here.process.pid


def _go_deep(where: Path) -> list[object]:
    """Make folders a hundred deep, and paths as long as a path may be."""
    answers: list[object] = []
    at = where
    for _ in range(DEPTH):
        at = at / "d"
        at.mkdir()
    (at / "file").write_bytes(b"deep")
    answers.append((where / Path(*["d"] * DEPTH) / "file").read_bytes())
    for length in (254, 255, 256):
        answers.append(_attempt(partial((where / ("n" * length)).write_bytes, b"x")))
    descriptor = os.open(where, os.O_RDONLY)
    for count in (800, 830):  # on both sides of PATH_MAX
        path = "d/../" * count + "d"
        answers.append(_attempt(partial(os.access, path, os.X_OK, dir_fd=descriptor)))
        answers.append(_attempt(partial(os.rmdir, path, dir_fd=descriptor)))
    os.close(descriptor)
    return answers


def _attempt(call: Callable[[], object]) -> object:
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def test_deep_and_long_paths(folder: Path, tmp_path: Path) -> None:
    answers = same_as_on_plain_folder(_go_deep, plain=tmp_path / "plain", mounted=folder / "m")
    assert answers[0] == b"deep"
    assert answers[1:4] == [1, 1, "ENAMETOOLONG"]
    assert answers[4:] == [True, "ENOTEMPTY", False, "ENAMETOOLONG"]


class _Dirent(ctypes.Structure):
    _fields_ = (
        ("d_ino", ctypes.c_uint64),
        ("d_off", ctypes.c_int64),
        ("d_reclen", ctypes.c_ushort),
        ("d_type", ctypes.c_ubyte),
        ("d_name", ctypes.c_char * 256),
    )


class _Folder:
    """opendir(3) and its positions."""

    def __init__(self, path: Path) -> None:
        self._libc = libc = ctypes.CDLL(None, use_errno=True)
        libc.opendir.restype = ctypes.c_void_p
        libc.readdir.restype = ctypes.POINTER(_Dirent)
        libc.readdir.argtypes = libc.closedir.argtypes = libc.telldir.argtypes = [ctypes.c_void_p]
        libc.telldir.restype = ctypes.c_long
        libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
        self._stream = libc.opendir(os.fsencode(path))
        assert self._stream

    def next(self) -> str | None:
        entry = self._libc.readdir(self._stream)
        return os.fsdecode(entry.contents.d_name) if entry else None

    def tell(self) -> int:
        return int(self._libc.telldir(self._stream))

    def seek(self, position: int) -> None:
        self._libc.seekdir(self._stream, position)

    def close(self) -> None:
        self._libc.closedir(self._stream)


def test_positions_in_a_folder_stay_valid_while_it_changes(folder: Path) -> None:
    wanted = {f"file {number}" for number in range(3000)}
    for name in wanted:
        (folder / name).touch()
    stream = _Folder(folder)
    places: list[tuple[int, str]] = []
    position = stream.tell()
    while (found := stream.next()) is not None:
        places.append((position, found))
        position = stream.tell()
    names = [name for _, name in places if name not in (".", "..")]
    assert sorted(names) == sorted(wanted)
    removed = set(names[::7])
    for name in removed:
        (folder / name).unlink()
    for number in range(500):
        (folder / f"new {number}").touch()
    for position, name in places[::11]:
        if name not in removed:
            stream.seek(position)
            assert stream.next() == name
    stream.close()


def test_the_largest_file(folder: Path) -> None:
    """16 TiB less 4 KiB, as on ext4, however much is written at once."""
    largest = (1 << 44) - 4096
    with (folder / "large").open("w+b", buffering=0) as file:
        handle = file.fileno()
        os.pwrite(handle, b"end", largest - 3)
        os.pwrite(handle, bytes(100_000), 0)  # what was small so far moves to a file of its own
        for length in (1, 100_000):
            with pytest.raises(OSError, match="File too large"):
                os.pwrite(handle, bytes(length), largest)
        with pytest.raises(OSError, match="File too large"):
            os.truncate(handle, largest + 1)
        assert os.pread(handle, 10, largest - 3) == b"end"
        assert file.seek(0, os.SEEK_END) == largest
    # The check of everything would read all of it.
    (folder / "large").unlink()


def test_what_crosses_the_edge_of_the_mount(drive: SharedDrive, tmp_path: Path) -> None:
    """rename(2), link(2) and rmdir(2): the kernel's answers, which no file system may spoil."""
    root = drive.here.path
    inside, outside = root / "edge", tmp_path / "outside"
    inside.write_bytes(b"inside")
    outside.write_bytes(b"outside")
    calls: dict[str, tuple[Callable[[], object], str]] = {
        "rename out": (lambda: inside.rename(tmp_path / "moved"), "EXDEV"),
        "rename in": (lambda: outside.rename(root / "moved"), "EXDEV"),
        "link out": (lambda: (tmp_path / "linked").hardlink_to(inside), "EXDEV"),
        "link in": (lambda: (root / "linked").hardlink_to(outside), "EXDEV"),
        "rmdir the root": (root.rmdir, "EBUSY"),
        "rename the root": (lambda: root.rename(tmp_path / "root"), "EBUSY"),
    }
    found = {}
    for name, (call, _) in calls.items():
        with pytest.raises(OSError) as caught:  # noqa: PT011 - its errno is looked at below
            call()
        found[name] = errno.errorcode[caught.value.errno or 0]
    assert found == {name: expected for name, (_, expected) in calls.items()}
    assert (inside.read_bytes(), outside.read_bytes()) == (b"inside", b"outside")
    inside.unlink()
