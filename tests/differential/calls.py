"""System calls as values: paths are below the folder of the site, handles have names.

Every call has `make(desk)`, which returns what a program would learn from it, or raises OSError.
"""

import ctypes
import errno
import mmap
import os
import stat
from dataclasses import dataclass, field
from typing import Final, Protocol

_libc = ctypes.CDLL(None, use_errno=True)

RENAME_NOREPLACE: Final = 1
RENAME_EXCHANGE: Final = 2
_AT_FDCWD: Final = -100
NOT_OPEN: Final = 1_000_000


class Long(str):
    """`text` so many times, that a report can still be read."""

    _text: str
    _times: int

    def __new__(cls, text: str, times: int) -> "Long":
        made = super().__new__(cls, text * times)
        made._text, made._times = text, times
        return made

    def __repr__(self) -> str:
        return f"{self._text!r} * {self._times}"

    def __reduce__(self) -> tuple[type["Long"], tuple[str, int]]:
        return Long, (self._text, self._times)


@dataclass(slots=True)
class Desk:
    """What one process has open."""

    files: dict[str, int] = field(default_factory=dict)
    maps: dict[str, mmap.mmap] = field(default_factory=dict)

    def file(self, handle: str) -> int:
        """Return the descriptor; one that is not open is EBADF to the kernel."""
        return self.files.get(handle, NOT_OPEN)

    def close_all(self) -> None:
        for mapped in self.maps.values():
            mapped.close()
        for descriptor in self.files.values():
            os.close(descriptor)
        self.maps.clear()
        self.files.clear()


class Call(Protocol):
    def make(self, desk: Desk) -> object: ...


def pattern(length: int, mark: int) -> bytes:
    """Return `length` bytes that tell where they were meant to be and which write they are of."""
    return bytes((mark * 37 + at * 11) % 251 + 1 for at in range(length))


@dataclass(frozen=True)
class Open:
    handle: str
    path: str
    flags: int
    mode: int = 0o644

    def make(self, desk: Desk) -> None:
        if self.handle in desk.files:
            return
        desk.files[self.handle] = os.open(self.path, self.flags, self.mode)


@dataclass(frozen=True)
class Close:
    handle: str

    def make(self, desk: Desk) -> None:
        if self.handle in desk.files:
            os.close(desk.files.pop(self.handle))


@dataclass(frozen=True)
class Write:
    """At `offset`, or where the handle is when that is None."""

    handle: str
    length: int
    mark: int
    offset: int | None = None

    def make(self, desk: Desk) -> int:
        data = pattern(self.length, self.mark)
        if self.offset is None:
            return os.write(desk.file(self.handle), data)
        return os.pwrite(desk.file(self.handle), data, self.offset)


@dataclass(frozen=True)
class Read:
    handle: str
    length: int
    offset: int | None = None

    def make(self, desk: Desk) -> bytes:
        if self.offset is None:
            return os.read(desk.file(self.handle), self.length)
        return os.pread(desk.file(self.handle), self.length, self.offset)


@dataclass(frozen=True)
class Seek:
    handle: str
    offset: int
    whence: int = os.SEEK_SET

    def make(self, desk: Desk) -> int:
        _file_size(desk.file(self.handle))  # positions in a folder are each file system's own
        return os.lseek(desk.file(self.handle), self.offset, self.whence)


@dataclass(frozen=True)
class Sync:
    handle: str

    def make(self, desk: Desk) -> None:
        os.fsync(desk.file(self.handle))


@dataclass(frozen=True)
class TruncateHandle:
    handle: str
    size: int

    def make(self, desk: Desk) -> None:
        os.ftruncate(desk.file(self.handle), self.size)


@dataclass(frozen=True)
class SetAppend:
    """fcntl(F_SETFL): whether each write goes to the end."""

    handle: str
    is_append: bool

    def make(self, desk: Desk) -> None:
        import fcntl

        fcntl.fcntl(desk.file(self.handle), fcntl.F_SETFL, os.O_APPEND if self.is_append else 0)


@dataclass(frozen=True)
class StatHandle:
    handle: str

    def make(self, desk: Desk) -> tuple[int, ...]:
        return facts_of(os.fstat(desk.file(self.handle)))


@dataclass(frozen=True)
class ModeOfHandle:
    handle: str
    mode: int

    def make(self, desk: Desk) -> None:
        os.fchmod(desk.file(self.handle), self.mode)


@dataclass(frozen=True)
class WriteMap:
    """mmap(MAP_SHARED) the file, store into it, and unmap."""

    handle: str
    offset: int
    length: int
    mark: int

    def make(self, desk: Desk) -> int:
        size = _file_size(desk.file(self.handle))
        end = min(size, self.offset + self.length)
        if self.offset >= end:
            return 0
        with mmap.mmap(desk.file(self.handle), size) as mapped:
            mapped[self.offset : end] = pattern(end - self.offset, self.mark)
            mapped.flush()
        return end - self.offset


@dataclass(frozen=True)
class ReadMap:
    handle: str

    def make(self, desk: Desk) -> bytes:
        size = _file_size(desk.file(self.handle))
        if not size:
            return b""
        with mmap.mmap(desk.file(self.handle), size, access=mmap.ACCESS_READ) as mapped:
            return bytes(mapped)


@dataclass(frozen=True)
class Truncate:
    path: str
    size: int

    def make(self, desk: Desk) -> None:
        os.truncate(self.path, self.size)


@dataclass(frozen=True)
class Stat:
    path: str
    follow: bool = True

    def make(self, desk: Desk) -> tuple[int, ...]:
        return facts_of(os.stat(self.path, follow_symlinks=self.follow))


@dataclass(frozen=True)
class Access:
    path: str
    mode: int

    def make(self, desk: Desk) -> bool:
        return os.access(self.path, self.mode, effective_ids=True)


@dataclass(frozen=True)
class Chmod:
    path: str
    mode: int

    def make(self, desk: Desk) -> None:
        os.chmod(self.path, self.mode)


@dataclass(frozen=True)
class Chown:
    path: str
    uid: int
    gid: int
    follow: bool = True

    def make(self, desk: Desk) -> None:
        os.chown(self.path, self.uid, self.gid, follow_symlinks=self.follow)


@dataclass(frozen=True)
class SetTimes:
    """utimensat(2); None is UTIME_NOW for both."""

    path: str
    times_ns: tuple[int, int] | None
    follow: bool = True

    def make(self, desk: Desk) -> None:
        if self.times_ns is None:
            os.utime(self.path, follow_symlinks=self.follow)
        else:
            os.utime(self.path, ns=self.times_ns, follow_symlinks=self.follow)


@dataclass(frozen=True)
class SetXattr:
    """`flags`: os.XATTR_CREATE or os.XATTR_REPLACE."""

    path: str
    name: str
    value: bytes
    flags: int = 0
    follow: bool = True

    def make(self, desk: Desk) -> None:
        os.setxattr(self.path, self.name, self.value, self.flags, follow_symlinks=self.follow)


@dataclass(frozen=True)
class GetXattr:
    path: str
    name: str

    def make(self, desk: Desk) -> bytes:
        return os.getxattr(self.path, self.name)


@dataclass(frozen=True)
class ListXattrs:
    path: str
    follow: bool = True

    def make(self, desk: Desk) -> list[str]:
        return sorted(os.listxattr(self.path, follow_symlinks=self.follow))


@dataclass(frozen=True)
class RemoveXattr:
    path: str
    name: str

    def make(self, desk: Desk) -> None:
        os.removexattr(self.path, self.name)


@dataclass(frozen=True)
class MakeFolder:
    path: str
    mode: int = 0o755

    def make(self, desk: Desk) -> None:
        os.mkdir(self.path, self.mode)


@dataclass(frozen=True)
class RemoveFolder:
    path: str

    def make(self, desk: Desk) -> None:
        os.rmdir(self.path)


@dataclass(frozen=True)
class Unlink:
    path: str

    def make(self, desk: Desk) -> None:
        os.unlink(self.path)


@dataclass(frozen=True)
class Link:
    path: str
    new_path: str
    follow: bool = False

    def make(self, desk: Desk) -> None:
        os.link(self.path, self.new_path, follow_symlinks=self.follow)


@dataclass(frozen=True)
class Symlink:
    target: str
    path: str

    def make(self, desk: Desk) -> None:
        os.symlink(self.target, self.path)


@dataclass(frozen=True)
class ReadLink:
    path: str

    def make(self, desk: Desk) -> str:
        return os.readlink(self.path)


@dataclass(frozen=True)
class MakeNode:
    """mknod(2): `kind` is S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR or S_IFBLK."""

    path: str
    kind: int
    mode: int = 0o644
    device: int = 0

    def make(self, desk: Desk) -> None:
        os.mknod(self.path, self.kind | self.mode, self.device)


@dataclass(frozen=True)
class Rename:
    """renameat2(2)."""

    path: str
    new_path: str
    flags: int = 0

    def make(self, desk: Desk) -> None:
        if not self.flags:
            os.rename(self.path, self.new_path)
            return
        old, new = os.fsencode(self.path), os.fsencode(self.new_path)
        if _libc.renameat2(_AT_FDCWD, old, _AT_FDCWD, new, self.flags):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


@dataclass(frozen=True)
class ListFolder:
    path: str

    def make(self, desk: Desk) -> list[str]:
        return sorted(os.listdir(self.path))


def _file_size(descriptor: int) -> int:
    """Return the size; a folder has one of its file system's own, and cannot be mapped."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.ENODEV, "not a file")
    return found.st_size


def facts_of(found: os.stat_result) -> tuple[int, ...]:
    """Return what two file systems must agree about; the size of a folder is each one's own."""
    is_folder = stat.S_ISDIR(found.st_mode)
    size = 0 if is_folder else found.st_size
    return (found.st_mode, found.st_nlink, found.st_uid, found.st_gid, size, found.st_rdev)
