"""Turns kernel requests into `FileSystem` calls. Decides nothing.

Every handler is wrapped once: a wait beyond its deadline is cancelled and answered with
ETIMEDOUT, and whatever goes wrong becomes one bare `FUSEError` (anything else would end the
mount). Names and attributes are given to the kernel for ever: `KernelCache` takes them back.
"""

import errno
import functools
import logging
import stat
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import pyfuse3
import trio
from trio.lowlevel import Task, current_task

from mountfs.errors import NoSuchEntry
from mountfs.fuse.deadlines import RequestDeadlines
from mountfs.fuse.errno_map import errno_of
from mountfs.fuse.reading_turn import ReadingTurn, handing_on
from mountfs.vfs.interface import (
    AttributeChanges,
    Attributes,
    Caller,
    FileSystem,
    Handle,
    Inode,
    OpenedFile,
    RenameFlags,
)

_LOG = logging.getLogger(__name__)

DEADLINE_S: Final = 30.0
READ_DEADLINE_S: Final = 15.0
# A reader waits behind at most one fetch, which has a shorter deadline of its own.
assert READ_DEADLINE_S < DEADLINE_S

KEEP_FOR_EVER_S: Final = 1e9
"""For entries, attributes and absent names alike: they are taken back by push."""

_STAT_BLOCK_BYTES: Final = 512
PREFERRED_REQUEST_BYTES: Final = 128 * 1024
"""st_blksize: what stdio buffers before it asks us. One request costs the same for 4 KiB."""

_RENAME_FLAGS: Final = {
    0: RenameFlags.NONE,
    int(pyfuse3.RENAME_NOREPLACE): RenameFlags.NO_REPLACE,
    int(pyfuse3.RENAME_EXCHANGE): RenameFlags.EXCHANGE,
}

OperationsT = TypeVar("OperationsT", bound="Operations")
P = ParamSpec("P")
T = TypeVar("T")


def handler(
    deadline_s: float,
) -> Callable[
    [Callable[Concatenate[OperationsT, P], Coroutine[Any, Any, T]]],
    Callable[Concatenate[OperationsT, P], Coroutine[Any, Any, T]],
]:
    """Wrap a handler: a deadline, and no exception but FUSEError."""

    def wrap(
        work: Callable[Concatenate[OperationsT, P], Coroutine[Any, Any, T]],
    ) -> Callable[Concatenate[OperationsT, P], Coroutine[Any, Any, T]]:
        @functools.wraps(work)
        async def answer(self: OperationsT, /, *args: P.args, **kwargs: P.kwargs) -> T:
            deadlines = self._deadlines
            task = current_task()
            deadlines.due_at_s[task] = trio.current_time() + deadline_s
            try:
                return await handing_on(self._turn, work(self, *args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - the last door before the kernel
                failure = self._errno_of(error, task, work.__name__)
            finally:
                del deadlines.due_at_s[task]
            # Not from `error`: nobody reads more than the number.
            raise pyfuse3.FUSEError(failure)

        return answer

    return wrap


class Operations(pyfuse3.Operations):
    """One instance serves one mount. Handlers that are not here answer ENOSYS.

    ENOSYS is the answer wanted for getxattr (asked before every write otherwise) and the other
    calls for extended attributes (see `xattr_operations`), access (the kernel checks:
    default_permissions), flush (`release` is all that the file system needs) and poll: the kernel
    asks each once and never again.
    """

    # "." and ".." of an inode are only asked for by NFS export, which a mount by inode table
    # cannot promise across restarts.
    supports_dot_lookup = False
    enable_writeback_cache = False
    enable_acl = False

    def __init__(
        self,
        filesystem: FileSystem,
        deadlines: RequestDeadlines,
        turn: ReadingTurn,
        *,
        on_init: Callable[[], None],
    ) -> None:
        """Handlers are called by workers of `deadlines` only.

        `on_init` is called once, when the kernel has answered the handshake.
        """
        super().__init__()
        self.filesystem = filesystem
        self._deadlines = deadlines
        self._turn = turn
        self._on_init = on_init
        self._open_folders: dict[int, int] = {}

    def init(self) -> None:
        self._on_init()

    def _errno_of(self, error: BaseException, task: Task, what: str) -> int:
        """Return the errno for whatever a handler raised; raise what is not its failure."""
        if isinstance(error, pyfuse3.FUSEError):
            return error.errno
        if isinstance(error, trio.Cancelled | BaseExceptionGroup):
            if _is_cancellation(error):
                if not self._deadlines.has_expired(task):
                    raise error
                _LOG.warning("%s took too long and was given up", what)
                return errno.ETIMEDOUT
        elif not isinstance(error, Exception):
            raise error
        known = errno_of(error)
        if known is None:
            _LOG.error("%s failed", what, exc_info=error)
            return errno.EIO
        return known

    # Names and attributes --------------------------------------------------------------------

    @handler(DEADLINE_S)
    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        try:
            return _entry(await self.filesystem.lookup(Inode(parent_inode), name))
        except NoSuchEntry:
            # The kernel caches an absent name only when told so by inode 0.
            absent = pyfuse3.EntryAttributes()
            absent.st_ino = 0
            absent.entry_timeout = KEEP_FOR_EVER_S
            return absent

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        # Not a request: nobody waits for an answer, but an exception would end the mount.
        try:
            self.filesystem.forget([(Inode(inode), count) for inode, count in inode_list])
        except Exception:  # noqa: BLE001 - the last door before the kernel
            _LOG.exception("forget failed")

    @handler(DEADLINE_S)
    async def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        return _entry(await self.filesystem.get_attributes(Inode(inode)))

    @handler(DEADLINE_S)
    async def setattr(
        self,
        inode: int,
        attr: pyfuse3.EntryAttributes,
        fields: pyfuse3.SetattrFields,
        fh: int | None,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        changes = AttributeChanges(
            size_bytes=attr.st_size if fields.update_size else None,
            mode=stat.S_IMODE(attr.st_mode) if fields.update_mode else None,
            uid=attr.st_uid if fields.update_uid else None,
            gid=attr.st_gid if fields.update_gid else None,
            atime_ns=attr.st_atime_ns if fields.update_atime else None,
            mtime_ns=attr.st_mtime_ns if fields.update_mtime else None,
        )
        handle = None if fh is None else Handle(fh)
        return _entry(
            await self.filesystem.set_attributes(Inode(inode), changes, handle, _caller(ctx))
        )

    @handler(DEADLINE_S)
    async def readlink(self, inode: int, ctx: pyfuse3.RequestContext) -> bytes:
        return await self.filesystem.read_link(Inode(inode))

    @handler(DEADLINE_S)
    async def mkdir(
        self, parent_inode: int, name: bytes, mode: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        return _entry(
            await self.filesystem.make_folder(
                Inode(parent_inode), name, stat.S_IMODE(mode), _caller(ctx)
            )
        )

    @handler(DEADLINE_S)
    async def mknod(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        return _entry(
            await self.filesystem.make_node(Inode(parent_inode), name, mode, rdev, _caller(ctx))
        )

    @handler(DEADLINE_S)
    async def symlink(
        self, parent_inode: int, name: bytes, target: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        return _entry(
            await self.filesystem.make_symlink(Inode(parent_inode), name, target, _caller(ctx))
        )

    @handler(DEADLINE_S)
    async def link(
        self, inode: int, new_parent_inode: int, new_name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        return _entry(
            await self.filesystem.make_link(Inode(inode), Inode(new_parent_inode), new_name)
        )

    @handler(DEADLINE_S)
    async def unlink(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        await self.filesystem.remove_file(Inode(parent_inode), name)

    @handler(DEADLINE_S)
    async def rmdir(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        await self.filesystem.remove_folder(Inode(parent_inode), name)

    @handler(DEADLINE_S)
    async def rename(
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: pyfuse3.RequestContext,
    ) -> None:
        if flags not in _RENAME_FLAGS:
            raise pyfuse3.FUSEError(errno.EINVAL)
        await self.filesystem.rename(
            Inode(parent_inode_old),
            name_old,
            Inode(parent_inode_new),
            name_new,
            _RENAME_FLAGS[flags],
        )

    # Content ---------------------------------------------------------------------------------

    @handler(DEADLINE_S)
    async def create(
        self,
        parent_inode: int,
        name: bytes,
        mode: int,
        flags: int,
        ctx: pyfuse3.RequestContext,
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        opened, attributes = await self.filesystem.create(
            Inode(parent_inode), name, stat.S_IMODE(mode), flags, _caller(ctx)
        )
        return _file_info(opened), _entry(attributes)

    @handler(DEADLINE_S)
    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        return _file_info(await self.filesystem.open(Inode(inode), flags, _caller(ctx)))

    @handler(READ_DEADLINE_S)
    async def read(self, fh: int, off: int, size: int) -> bytes:
        # pyfuse3 takes any buffer here, whatever its annotation says.
        data: Any = await self.filesystem.read(Handle(fh), off, size)
        return data  # type: ignore[no-any-return]

    @handler(DEADLINE_S)
    async def write(self, fh: int, off: int, buf: bytes) -> int:
        return await self.filesystem.write(Handle(fh), off, buf)

    @handler(DEADLINE_S)
    async def fsync(self, fh: int, datasync: bool) -> None:
        await self.filesystem.fsync(Handle(fh), data_only=datasync)

    @handler(DEADLINE_S)
    async def release(self, fh: int) -> None:
        await self.filesystem.release(Handle(fh))

    # Folders ---------------------------------------------------------------------------------

    @handler(DEADLINE_S)
    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        handle = await self.filesystem.open_folder(Inode(inode))
        self._open_folders[handle] = inode
        return handle

    @handler(DEADLINE_S)
    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        # The kernel's positions: 1 is behind ".", 2 behind "..", the file system's come on top.
        for position, name in ((1, b"."), (2, b"..")):
            if start_id < position and not pyfuse3.readdir_reply(
                token, name, _dot_entry(self._open_folders[fh]), position
            ):
                return
        entries = await self.filesystem.list_folder(Handle(fh), max(0, start_id - 2))
        for entry in entries:
            attributes = entry.attributes
            if not pyfuse3.readdir_reply(token, entry.name, _entry(attributes), entry.position + 2):
                return
            self.filesystem.count_lookup(attributes.inode)

    @handler(DEADLINE_S)
    async def releasedir(self, fh: int) -> None:
        self._open_folders.pop(fh, None)
        await self.filesystem.release_folder(Handle(fh))

    @handler(DEADLINE_S)
    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        await self.filesystem.fsync_folder(Handle(fh))

    @handler(DEADLINE_S)
    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        statistics = await self.filesystem.statistics()
        reply = pyfuse3.StatvfsData()
        reply.f_bsize = reply.f_frsize = statistics.block_size_bytes
        reply.f_blocks = statistics.blocks
        reply.f_bfree = reply.f_bavail = statistics.blocks_free
        reply.f_files = statistics.files
        reply.f_ffree = reply.f_favail = statistics.files_free
        reply.f_namemax = statistics.name_bytes_max
        return reply


def _is_cancellation(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_is_cancellation(inner) for inner in error.exceptions)
    return isinstance(error, trio.Cancelled)


def _caller(ctx: pyfuse3.RequestContext) -> Caller:
    return Caller(uid=ctx.uid, gid=ctx.gid, pid=ctx.pid)


def _file_info(opened: OpenedFile) -> pyfuse3.FileInfo:
    return pyfuse3.FileInfo(fh=opened.handle, keep_cache=opened.keep_cache)


def _dot_entry(inode: int) -> pyfuse3.EntryAttributes:
    """What the kernel shows for "." and ".."; it looks neither of them up."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = inode
    entry.st_mode = stat.S_IFDIR
    return entry


def _entry(attributes: Attributes) -> pyfuse3.EntryAttributes:
    entry = pyfuse3.EntryAttributes()
    (
        entry.st_ino,
        entry.st_mode,
        entry.st_nlink,
        entry.st_uid,
        entry.st_gid,
        size_bytes,
        entry.st_rdev,
        entry.st_atime_ns,
        entry.st_mtime_ns,
        entry.st_ctime_ns,
    ) = attributes
    entry.st_size = size_bytes
    entry.st_blocks = -(-size_bytes // _STAT_BLOCK_BYTES)
    entry.st_blksize = PREFERRED_REQUEST_BYTES
    entry.entry_timeout = KEEP_FOR_EVER_S
    entry.attr_timeout = KEEP_FOR_EVER_S
    return entry
