"""Handles, maps and links on the mount behave as POSIX says, which a plain folder shows."""

import errno
import mmap
import os
import random
import stat
from pathlib import Path

import pytest

from harness.mount import become_visible
from harness.shared_drive import SharedDrive
from harness.trees import names_in, same_as_on_plain_folder

pytestmark = pytest.mark.fuse


def _written_through_a_map(where: Path) -> bytes:
    path = where / "mapped"
    path.write_bytes(bytes(1_500_000))
    chance = random.Random(7)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as view:
        for _ in range(200):
            at = chance.randrange(len(view) - 4096)
            view[at : at + 100] = chance.randbytes(100)
            if at % 5 == 0:
                page = at // mmap.PAGESIZE * mmap.PAGESIZE
                view.flush(page, mmap.PAGESIZE)
        view.flush()
    return path.read_bytes()


def test_writes_through_a_shared_map(folder: Path, drive: SharedDrive, tmp_path: Path) -> None:
    content = same_as_on_plain_folder(
        _written_through_a_map, plain=tmp_path / "plain", mounted=folder / "maps"
    )
    there = drive.there.path / folder.relative_to(drive.here.path) / "maps" / "mapped"
    drive.here.sync()
    become_visible(there, content)


def test_a_map_and_a_handle_see_each_other(folder: Path, tmp_path: Path) -> None:
    def run(where: Path) -> list[bytes]:
        path = where / "both"
        path.write_bytes(b"a" * 10_000)
        with path.open("r+b", buffering=0) as file, mmap.mmap(file.fileno(), 0) as view:
            os.pwrite(file.fileno(), b"by handle", 5000)
            seen = [bytes(view[5000:5009])]
            view[6000:6006] = b"by map"
            view.flush()
            seen.append(os.pread(file.fileno(), 6, 6000))
        return seen

    assert same_as_on_plain_folder(run, plain=tmp_path / "plain", mounted=folder / "m") == [
        b"by handle",
        b"by map",
    ]


def test_two_handles_append_without_overwriting_each_other(folder: Path, tmp_path: Path) -> None:
    def run(where: Path) -> bytes:
        path = where / "log"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        handles = [os.open(path, flags, 0o644) for _ in range(2)]
        for index in range(200):
            os.write(handles[index % 2], b"%d from %d\n" % (index, index % 2))
        for handle in handles:
            os.close(handle)
        return path.read_bytes()

    content = same_as_on_plain_folder(run, plain=tmp_path / "plain", mounted=folder / "logs")
    assert content.count(b"\n") == 200


def test_an_unlinked_file_lives_while_it_is_open(folder: Path, tmp_path: Path) -> None:
    def run(where: Path) -> list[object]:
        path = where / "scratch"
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.write(handle, b"before " * 1000)
        path.unlink()
        seen: list[object] = [names_in(where), os.fstat(handle).st_nlink]
        os.write(handle, b"after " * 1000)
        os.ftruncate(handle, 12_500)
        seen += [os.fstat(handle).st_size, os.pread(handle, 20_000, 0)]
        path.write_bytes(b"a new one of the same name")
        seen.append(os.pread(handle, 10, 0))
        os.close(handle)
        return seen

    same_as_on_plain_folder(run, plain=tmp_path / "plain", mounted=folder / "unlinked")


def test_a_replaced_file_lives_while_it_is_open(folder: Path, tmp_path: Path) -> None:
    def run(where: Path) -> list[object]:
        old, new = where / "old", where / "new"
        old.write_bytes(b"old content")
        new.write_bytes(b"new content")
        with old.open("r+b", buffering=0) as handle:
            new.replace(old)
            seen: list[object] = [handle.read(), old.read_bytes(), names_in(where)]
            handle.write(b" and more")
            seen += [os.fstat(handle.fileno()).st_nlink, old.read_bytes()]
        return seen

    same_as_on_plain_folder(run, plain=tmp_path / "plain", mounted=folder / "replaced")


def _error_of(run: object) -> str:
    assert callable(run)
    try:
        run()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "none"


def test_links_folders_and_their_errors(folder: Path, tmp_path: Path) -> None:
    def run(where: Path) -> list[object]:
        (where / "a").mkdir()
        (where / "a" / "b").mkdir()
        (where / "f").write_bytes(b"content")
        (where / "g").hardlink_to(where / "f")
        (where / "s").symlink_to("f")
        seen: list[object] = [(where / "g").stat().st_nlink, (where / "s").read_bytes()]
        (where / "f").write_bytes(b"through one name")
        seen.append((where / "g").read_bytes())
        (where / "f").unlink()
        seen += [(where / "g").stat().st_nlink, (where / "g").read_bytes()]
        seen += [
            _error_of(lambda: (where / "a").rmdir()),
            _error_of(lambda: (where / "g").rmdir()),
            _error_of(lambda: (where / "a").unlink()),
            _error_of(lambda: (where / "nowhere").unlink()),
            _error_of(lambda: (where / "g").mkdir()),
            _error_of(lambda: (where / "a").rename(where / "a" / "b" / "c")),
            _error_of(lambda: (where / "g").rename(where / "a")),
            _error_of(lambda: (where / "a").rename(where / "g")),
            _error_of(lambda: (where / ("x" * 256)).touch()),
            _error_of(lambda: (where / "g" / "below").touch()),
            _error_of(lambda: (where / "l").hardlink_to(where / "a")),
            _error_of(lambda: (where / "s").read_bytes()),
            _error_of(lambda: os.open(where / "g", os.O_CREAT | os.O_EXCL)),
            _error_of(lambda: os.open(where / "s", os.O_RDONLY | os.O_NOFOLLOW)),
        ]
        (where / "a").rename(where / "z")
        (where / "z" / "b").rename(where / "b")
        (where / "b").replace(where / "z")
        return [*seen, names_in(where)]

    same_as_on_plain_folder(run, plain=tmp_path / "plain", mounted=folder / "links")


def test_modes_owners_times_and_sizes(folder: Path, tmp_path: Path) -> None:
    def run(where: Path) -> list[object]:
        path = where / "f"
        path.write_bytes(b"x" * 5000)
        path.chmod(0o4751)
        seen: list[object] = [oct(path.stat().st_mode)]
        os.utime(path, ns=(1_600_000_000_123_456_789, 1_500_000_000_987_654_321))
        seen.append(path.stat().st_mtime_ns)
        os.truncate(path, 100_000)
        seen += [path.stat().st_size, path.read_bytes()[4990:5010]]
        os.truncate(path, 10)
        os.truncate(path, 20)
        seen.append(path.read_bytes())
        with path.open("r+b") as file:
            file.seek(3_000_000)
            file.write(b"far away")
        seen += [path.stat().st_size, path.read_bytes().strip(b"\0")]
        if os.geteuid() == 0:
            os.chown(path, 1234, 2345)
            seen.append((path.stat().st_uid, path.stat().st_gid))
        os.mkfifo(where / "pipe", 0o640)
        seen.append(stat.filemode((where / "pipe").lstat().st_mode))
        seen.append(_error_of(lambda: os.truncate(where, 5)))
        return seen

    same_as_on_plain_folder(run, plain=tmp_path / "plain", mounted=folder / "attributes")


def test_the_size_of_the_drive_is_its_quota(drive: SharedDrive, folder: Path) -> None:
    before = os.statvfs(drive.here.path)
    assert before.f_blocks * before.f_frsize == 10 << 30, "the default quota"
    (folder / "f").write_bytes(os.urandom(4 << 20))
    after = os.statvfs(drive.here.path)
    used = (before.f_bavail - after.f_bavail) * after.f_frsize
    assert used >= 4 << 20, "what is dirty counts at once"
    assert after.f_namemax == 255
