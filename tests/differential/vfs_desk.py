"""The same calls made on a `FileSystem`: what a kernel does with a path is done here.

Names are resolved as path_resolution(7) says, for root: nothing is refused for want of rights.
"""

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from differential import calls
from differential.actors import Refused
from differential.calls import Call
from mountfs.errors import MountError
from mountfs.fuse.errno_map import errno_of
from mountfs.vfs.interface import (
    ROOT_INODE,
    AttributeChanges,
    Attributes,
    Caller,
    FileSystem,
    Handle,
    Inode,
    RenameFlags,
)

ROOT: Final = Caller(uid=0, gid=0, pid=1)
SYMLINKS_MAX: Final = 40
_RENAME_FLAGS: Final = {
    0: RenameFlags.NONE,
    calls.RENAME_NOREPLACE: RenameFlags.NO_REPLACE,
    calls.RENAME_EXCHANGE: RenameFlags.EXCHANGE,
}


class Place(NamedTuple):
    """Where a path leads: a name in a folder, and what is there."""

    parent: Inode
    name: bytes
    found: Attributes | None


@dataclass(slots=True)
class _OpenedFile:
    handle: Handle
    inode: Inode
    flags: int
    position: int = 0


def _fail(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class VfsDesk:
    """One process that has files open on `files()`."""

    def __init__(self, files: Callable[[], FileSystem]) -> None:
        self._files = files
        self._opened: dict[str, _OpenedFile] = {}

    def forget_handles(self) -> None:
        """The file system was started anew."""
        self._opened.clear()

    async def make(self, call: Call) -> object:
        """Return what the call answered, a `Refused` if it failed."""
        try:
            return await self._make(call)
        except OSError as error:
            return Refused(error.errno or 0)
        except MountError as error:
            number = errno_of(error)
            assert number is not None
            return Refused(number)

    async def _make(self, call: Any) -> object:
        fs = self._files()
        match call:
            case calls.MakeFolder(path, mode):
                place = await self._free(path)
                await fs.make_folder(place.parent, place.name, mode & 0o1777, ROOT)
            case calls.MakeNode(path, kind, mode, device):
                place = await self._free(path)
                await fs.make_node(place.parent, place.name, kind | mode, device, ROOT)
            case calls.Symlink(target, path):
                place = await self._free(path)
                await fs.make_symlink(place.parent, place.name, target.encode(), ROOT)
            case calls.Link(path, new_path, follow):
                old = await self._existing(path, follow=follow)
                place = await self._free(new_path)
                await fs.make_link(old.inode, place.parent, place.name)
            case calls.Unlink(path):
                place = await self._resolve(path, follow=False)
                await fs.remove_file(place.parent, place.name)
            case calls.RemoveFolder(path):
                place = await self._resolve(path, follow=False)
                await fs.remove_folder(place.parent, place.name)
            case calls.Rename(path, new_path, flags):
                if flags not in _RENAME_FLAGS:
                    raise _fail(errno.EINVAL)
                old_place = await self._resolve(path, follow=False)
                new_place = await self._resolve(new_path, follow=False)
                if old_place.found is None:
                    raise _fail(errno.ENOENT)
                await self._refuse_ancestor(old_place, new_place, flags)
                await fs.rename(
                    old_place.parent, old_place.name, new_place.parent, new_place.name,
                    _RENAME_FLAGS[flags],
                )  # fmt: skip
            case calls.ReadLink(path):
                found = await self._existing(path, follow=False)
                return os.fsdecode(await fs.read_link(found.inode))
            case calls.ListFolder(path):
                return sorted(name.decode() for name, _ in await self.list(await self._at(path)))
            case calls.Stat(path, follow):
                return _facts(await self._existing(path, follow=follow))
            case calls.Chmod(path, mode):
                await self._set(await self._at(path), AttributeChanges(mode=mode))
            case calls.Chown(path, uid, gid, follow):
                inode = (await self._existing(path, follow=follow)).inode
                changes = AttributeChanges(
                    uid=None if uid < 0 else uid, gid=None if gid < 0 else gid
                )
                await self._set(inode, changes)
            case calls.SetTimes(path, (atime_ns, mtime_ns), follow):
                inode = (await self._existing(path, follow=follow)).inode
                await self._set(inode, AttributeChanges(atime_ns=atime_ns, mtime_ns=mtime_ns))
            case calls.Truncate(path, size):
                found = await self._existing(path)
                if not stat.S_ISREG(found.mode):
                    raise _fail(errno.EISDIR if stat.S_ISDIR(found.mode) else errno.EINVAL)
                await self._set(found.inode, AttributeChanges(size_bytes=size))
            case calls.Open():
                await self._open(call)
            case calls.Close(handle):
                if handle in self._opened:
                    await fs.release(self._opened.pop(handle).handle)
            case calls.Write(handle, length, mark, offset):
                return await self._write(handle, calls.pattern(length, mark), offset)
            case calls.Read(handle, length, offset):
                return await self._read(handle, length, offset)
            case calls.TruncateHandle(handle, size):
                file = self._file(handle)
                if file.flags & os.O_ACCMODE == os.O_RDONLY:
                    raise _fail(errno.EINVAL)
                await fs.set_attributes(
                    file.inode, AttributeChanges(size_bytes=size), file.handle, ROOT
                )
            case calls.StatHandle(handle):
                return _facts(await fs.get_attributes(self._file(handle).inode))
            case calls.Sync(handle):
                await fs.fsync(self._file(handle).handle, data_only=False)
            case _:
                raise AssertionError(f"no kernel here makes {call}")
        return None

    # Paths -----------------------------------------------------------------------------------

    async def _resolve(self, path: str, *, follow: bool) -> Place:
        names = path.encode().split(b"/")
        parent = ROOT_INODE
        links_left = SYMLINKS_MAX
        while True:
            name = names.pop(0)
            found = await self._lookup(parent, name)
            is_last = not names
            if found is not None and stat.S_ISLNK(found.mode) and (follow or not is_last):
                if not links_left:
                    raise _fail(errno.ELOOP)
                links_left -= 1
                names = (await self._files().read_link(found.inode)).split(b"/") + names
                continue
            if is_last:
                return Place(parent, name, found)
            if found is None:
                raise _fail(errno.ENOENT)
            if not stat.S_ISDIR(found.mode):
                raise _fail(errno.ENOTDIR)
            parent = found.inode

    async def _lookup(self, parent: Inode, name: bytes) -> Attributes | None:
        try:
            found = await self._files().lookup(parent, name)
        except MountError as error:
            if errno_of(error) == errno.ENOENT:
                return None
            raise
        self._files().forget([(found.inode, 1)])
        return found

    async def _existing(self, path: str, *, follow: bool = True) -> Attributes:
        found = (await self._resolve(path, follow=follow)).found
        if found is None:
            raise _fail(errno.ENOENT)
        return found

    async def _at(self, path: str) -> Inode:
        return (await self._existing(path)).inode

    async def _free(self, path: str) -> Place:
        place = await self._resolve(path, follow=False)
        if place.found is not None:
            raise _fail(errno.EEXIST)
        return place

    async def _refuse_ancestor(self, old: Place, new: Place, flags: int) -> None:
        """rename(2): a folder does not replace one that it lies in, whatever else is wrong."""
        if new.found is not None and flags == 0 and await self._is_above(new.found, old.parent):
            raise _fail(errno.ENOTEMPTY)

    async def _is_above(self, folder: Attributes, below: Inode) -> bool:
        if not stat.S_ISDIR(folder.mode):
            return False
        if folder.inode == below:
            return True
        for _, child in await self.list(folder.inode):
            if stat.S_ISDIR(child.mode) and await self._is_above(child, below):
                return True
        return False

    # Content ---------------------------------------------------------------------------------

    async def _open(self, call: calls.Open) -> None:
        if call.handle in self._opened:
            return
        fs, flags = self._files(), call.flags
        is_exclusive = bool(flags & os.O_CREAT and flags & os.O_EXCL)
        place = await self._resolve(call.path, follow=not is_exclusive)
        if place.found is None:
            if not flags & os.O_CREAT:
                raise _fail(errno.ENOENT)
            opened, found = await fs.create(place.parent, place.name, call.mode, flags, ROOT)
            self._opened[call.handle] = _OpenedFile(opened.handle, found.inode, flags)
            return
        if is_exclusive:
            raise _fail(errno.EEXIST)
        opened = await fs.open(place.found.inode, flags, ROOT)
        self._opened[call.handle] = _OpenedFile(opened.handle, place.found.inode, flags)

    def _file(self, handle: str) -> _OpenedFile:
        if handle not in self._opened:
            raise _fail(errno.EBADF)
        return self._opened[handle]

    async def _write(self, handle: str, data: bytes, offset: int | None) -> int:
        file = self._file(handle)
        if file.flags & os.O_ACCMODE == os.O_RDONLY:
            raise _fail(errno.EBADF)
        size = (await self._files().get_attributes(file.inode)).size_bytes
        is_append = bool(file.flags & os.O_APPEND)
        start = size if is_append else file.position if offset is None else offset
        if data:
            await self._files().write(file.handle, start, data)
            if offset is None:
                file.position = start + len(data)
        return len(data)

    async def _read(self, handle: str, length: int, offset: int | None) -> bytes:
        file = self._file(handle)
        if file.flags & os.O_ACCMODE == os.O_WRONLY:
            raise _fail(errno.EBADF)
        start = file.position if offset is None else offset
        data = bytes(await self._files().read(file.handle, start, length)) if length else b""
        if offset is None:
            file.position = start + len(data)
        return data

    async def _set(self, inode: Inode, changes: AttributeChanges) -> None:
        await self._files().set_attributes(inode, changes, None, ROOT)

    # Looking ---------------------------------------------------------------------------------

    async def list(self, folder: Inode) -> list[tuple[bytes, Attributes]]:
        fs = self._files()
        if not stat.S_ISDIR((await fs.get_attributes(folder)).mode):
            raise _fail(errno.ENOTDIR)
        handle = await fs.open_folder(folder)
        entries = [(entry.name, entry.attributes) for entry in await fs.list_folder(handle, 0)]
        await fs.release_folder(handle)
        return sorted(entries)

    async def snapshot(self) -> dict[str, tuple[object, ...]]:
        """Return everything by path, as `local_snapshot` does of a local folder."""
        found: dict[str, tuple[object, ...]] = {}
        first_path: dict[int, str] = {}
        root = await self._files().get_attributes(ROOT_INODE)
        await self._walk("", root, found, first_path)
        return found

    async def _walk(
        self,
        path: str,
        attributes: Attributes,
        found: dict[str, tuple[object, ...]],
        first_path: dict[int, str],
    ) -> None:
        fs = self._files()
        content: bytes = b""
        if stat.S_ISREG(attributes.mode):
            opened = await fs.open(attributes.inode, os.O_RDONLY | os.O_NOATIME, ROOT)
            content = bytes(await fs.read(opened.handle, 0, attributes.size_bytes + 1))
            await fs.release(opened.handle)
        elif stat.S_ISLNK(attributes.mode):
            content = await fs.read_link(attributes.inode)
        same_as = first_path.setdefault(attributes.inode, path)
        found[path] = (same_as, _facts(attributes), content, set_time(attributes.mtime_ns))
        if stat.S_ISDIR(attributes.mode):
            for name, child in await self.list(attributes.inode):
                below = f"{path}/{name.decode()}" if path else name.decode()
                await self._walk(below, child, found, first_path)


def set_time(time_ns: int) -> int | str:
    """Return a time that a program set; one from a clock is that of nobody's choice."""
    return time_ns if time_ns < 1_000_000_000 * 10**9 else "clock"


def _facts(found: Attributes) -> tuple[int, ...]:
    size = 0 if stat.S_ISDIR(found.mode) else found.size_bytes
    return (found.mode, found.nlink, found.uid, found.gid, size, found.rdev)
