"""The file system of one drive: implements `interface.FileSystem` over `state` and `blocks`.

Concurrency: one event loop thread. Every change of names, attributes or dirty content happens in
plain functions between awaits. Awaits are only for bytes that are not here (`read`) and for the
platter (`fsync`).
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import trio

from backend_server.protocol.extended_attributes import unpack_xattrs
from backend_server.protocol.tree_messages import NodeKind
from mountfs.errors import (
    BadHandle,
    DeadlinePassed,
    FileTooLarge,
    InvalidArgument,
    IsADirectory,
    LocalStorageError,
    OperationNotPermitted,
)
from mountfs.state.access_times import is_due
from mountfs.state.overlay import Overlay
from mountfs.state.records import NodeRecord
from mountfs.state.store import StateStore
from mountfs.state.tree import source_of
from mountfs.state.view_changes import ViewChanges
from mountfs.vfs.attributes import SET_ID_BITS, Ownership, without_set_id
from mountfs.vfs.content_io import GIVEN_UP_S, CleanReader, ContentIo, ManifestLoader, at_hand
from mountfs.vfs.durability import Durability
from mountfs.vfs.interface import (
    AttributeChanges,
    Attributes,
    Caller,
    FolderEntry,
    Handle,
    Inode,
    KernelCache,
    OpenedFile,
    Statistics,
)
from mountfs.vfs.kernel_memory import tell_kernel
from mountfs.vfs.listing import Listing
from mountfs.vfs.names import Names
from mountfs.vfs.open_file import OpenFile
from mountfs.vfs.prefetch import TreePrefetch
from mountfs.vfs.space import Space
from mountfs.vfs.stamps import nearest_kept_ns
from mountfs.vfs.xattrs import value_of, with_value, without_value

_LOG = logging.getLogger(__name__)

FILE_SIZE_BYTES_MAX: Final = (1 << 44) - 4096
"""To which a file can be made to grow here: what waits for the server is in one file of a disk, and
ext4 has none larger. Larger ones of other devices can be read."""


class ContentAccess(Protocol):
    """What a file system needs of `blocks`."""

    @property
    def manifests(self) -> ManifestLoader: ...

    def open_reader(self) -> CleanReader:
        """Return a reader for one handle, which follows its offsets to read ahead."""
        ...


class DriveFileSystem(Names):
    """See the module."""

    def __init__(
        self,
        state: StateStore,
        content: ContentAccess,
        kernel: KernelCache,
        *,
        ownership: Ownership,
        is_read_only: bool,
        new_node_id: Callable[[], int],
        on_local_change: Callable[[], None],
        prefetch: TreePrefetch | None = None,
    ) -> None:
        super().__init__(
            state,
            ownership=ownership,
            is_read_only=is_read_only,
            new_node_id=new_node_id,
            on_local_change=on_local_change,
        )
        self._content = content
        self._io = ContentIo(state.drive_id, state.overlays, content.manifests)
        self.kernel = kernel
        self._durability = Durability(state.database, state.overlays, state.clock)
        self.space = Space(state)
        self._prefetch = prefetch
        self._files: dict[int, OpenFile] = {}
        self._folders: dict[int, tuple[Inode, Listing]] = {}
        self._last_handle = 0

    # Attributes ------------------------------------------------------------------------------

    async def get_attributes(self, inode: Inode) -> Attributes:
        return self.attributes(inode)

    async def set_attributes(
        self, inode: Inode, changes: AttributeChanges, handle: Handle | None, caller: Caller
    ) -> Attributes:
        self.check_writable()
        record = self.record(inode)
        self.stamps.saw(changes.atime_ns)
        self.stamps.saw(changes.mtime_ns)
        now_ns = self.stamps.now_ns()
        with self.state.database.transaction():
            if changes.size_bytes is not None:
                self._truncate(inode, record, changes.size_bytes, now_ns)
                if not caller.is_privileged:
                    self._drop_set_id(inode)
            if changes.atime_ns is not None:
                self.access_times.set(inode, nearest_kept_ns(changes.atime_ns))
            if changes.size_bytes is None or changes.has_more_than_size:
                self._set_record(inode, _changed(self.record(inode), changes, now_ns))
        self.on_local_change()
        return self.attributes(inode)

    async def read_link(self, inode: Inode) -> bytes:
        record = self.record(inode)
        if record.kind != NodeKind.SYMLINK:
            raise InvalidArgument("not a symlink")
        self._accessed(inode, record)
        return record.target

    # Extended attributes ---------------------------------------------------------------------

    async def get_xattr(self, inode: Inode, name: bytes) -> bytes:
        return value_of(self.record(inode).xattrs, name)

    async def list_xattrs(self, inode: Inode) -> Sequence[bytes]:
        return list(unpack_xattrs(self.record(inode).xattrs))

    async def set_xattr(self, inode: Inode, name: bytes, value: bytes) -> None:
        self._set_xattrs(inode, with_value(self.record(inode).xattrs, name, value))

    async def remove_xattr(self, inode: Inode, name: bytes) -> None:
        self._set_xattrs(inode, without_value(self.record(inode).xattrs, name))

    def _set_xattrs(self, inode: Inode, xattrs: bytes) -> None:
        self.check_writable()
        record = self.record(inode)
        if xattrs == record.xattrs:
            return
        with self.state.database.transaction():
            now_ns = self.stamps.now_ns()
            self._set_record(inode, record._replace(xattrs=xattrs, ctime_ns=now_ns))
        self.on_local_change()

    async def statistics(self) -> Statistics:
        return self.space.statistics()

    # Files -----------------------------------------------------------------------------------

    async def create(
        self, parent: Inode, name: bytes, mode: int, flags: int, caller: Caller
    ) -> tuple[OpenedFile, Attributes]:
        attributes = self.made(parent, name, NodeKind.FILE, mode, caller)
        return self._opened(attributes.inode, flags, caller), attributes

    async def open(self, inode: Inode, flags: int, caller: Caller) -> OpenedFile:
        record = self.record(inode)
        _check_has_bytes(record)
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
            self.check_writable()
        if flags & os.O_TRUNC:
            with self.state.database.transaction():
                self._truncate(inode, record, 0, self.stamps.now_ns())
                if not caller.is_privileged:
                    self._drop_set_id(inode)
            self.on_local_change()
        return self._opened(inode, flags, caller)

    async def read(self, handle: Handle, offset: int, length: int) -> bytes | memoryview:
        file = self._file(handle)
        overlay = self.overlay(file.inode)
        source = None
        record = self.record(file.inode)
        if file.is_noticed:
            self._accessed(file.inode, record)
        if overlay is None:
            source = source_of(record)
            if self._prefetch is not None and source is not None and offset == 0:
                self._prefetch.opened(record)
        read = self._io.read(source, overlay, file.reader, offset, length)
        if trio.current_time() < file.given_up_at_s + GIVEN_UP_S:
            return await at_hand(read)
        try:
            return await read
        except DeadlinePassed:
            file.given_up_at_s = trio.current_time()
            raise

    async def write(self, handle: Handle, offset: int, data: bytes) -> int:
        file = self._file(handle)
        if not file.is_writer:
            raise BadHandle("not open for writing")
        overlay = self.overlay(file.inode)
        if overlay is None or not overlay.generations:
            with self.state.database.transaction():  # the first write makes three rows: one commit
                self._write(file, self._overlay_for_writing(file.inode), offset, data)
        else:
            self._write(file, overlay, offset, data)
        if not file.is_privileged and self.tree.mode_of(self.node_of(file.inode)) & SET_ID_BITS:
            self._drop_set_id(file.inode)
        self.on_local_change()
        if pause_s := self.space.pause_s():
            await trio.sleep(pause_s)
        return len(data)

    async def fsync(self, handle: Handle, *, data_only: bool) -> None:
        del data_only  # size and times lie in the same log as the data's rows
        await self._durability.sync_content(self.overlay(self._file(handle).inode))

    async def release(self, handle: Handle) -> None:
        file = self._files.pop(handle)
        self.disposed(file.inode, self.table.closed(file.inode))
        if file.is_writer:
            self.state.writers.closed(file.inode)
            self.on_local_change()

    # Folders ---------------------------------------------------------------------------------

    async def open_folder(self, inode: Inode) -> Handle:
        record = self.record(inode)
        handle = self._next_handle()
        self._folders[handle] = (inode, Listing(self.tree, record.node_id))
        self.table.opened(inode)
        return handle

    async def list_folder(self, handle: Handle, position: int) -> Iterator[FolderEntry]:
        if handle not in self._folders:
            raise BadHandle("no open folder")
        if not position:
            inode = self._folders[handle][0]
            self._accessed(inode, self.record(inode))
        return self._entries(self._folders[handle][1], position)

    async def release_folder(self, handle: Handle) -> None:
        inode, _ = self._folders.pop(handle)
        self.disposed(inode, self.table.closed(inode))

    async def fsync_folder(self, handle: Handle) -> None:
        await self._durability.sync_log()

    # The kernel's memory ---------------------------------------------------------------------

    def count_lookup(self, inode: Inode) -> None:
        self.table.count_lookup(inode)

    def forget(self, forgotten: Sequence[tuple[Inode, int]]) -> None:
        for inode, count in forgotten:
            try:
                self.disposed(inode, self.table.forget(inode, count))
            except LocalStorageError as error:  # the kernel does not say it twice
                _LOG.warning("what is kept of a forgotten file stays until a start: %s", error)

    def apply_view_changes(self, changes: ViewChanges) -> None:
        """Tell the kernel what changed without its doing. Publishes nothing itself: the tree is
        already as the changes say. No checkpoint."""
        tell_kernel(self, self.kernel, changes)

    @property
    def open_files_count(self) -> int:
        return len(self._files)

    # Inside ----------------------------------------------------------------------------------

    def _opened(self, inode: Inode, flags: int, caller: Caller) -> OpenedFile:
        file = OpenFile(inode, flags, caller, self._content.open_reader())
        handle = self._next_handle()
        self._files[handle] = file
        self.table.opened(inode)
        if file.is_writer:
            self.state.writers.opened(inode)
        mirror = self.state.mirror
        if mirror.is_layered and mirror.layer_brings_content(self.node_of(inode)):
            self.table.content_changed(inode)
        return OpenedFile(handle, self.table.take_is_fresh(inode))

    def _write(self, file: OpenFile, overlay: Overlay, offset: int, data: bytes) -> None:
        if file.is_append:
            offset = overlay.size_bytes
        end = offset + len(data)
        if end > FILE_SIZE_BYTES_MAX:
            raise FileTooLarge("a file grows to at most 16 TiB less 4 KiB")
        # A hole that a write leaves before itself is free.
        self.space.check_growth(min(end - overlay.size_bytes, len(data)))
        self.state.overlays.write(overlay, offset, data, now_ns=self.stamps.now_ns())

    def _overlay_for_writing(self, inode: Inode) -> Overlay:
        overlay = self.overlay(inode)
        if overlay is not None:
            return overlay
        orphan = self.table.orphans.get(inode)
        if orphan is None:
            return self.tree.overlay_of(self.record(inode))
        orphan.overlay = self.state.overlays.begin_detached(
            orphan.record.node_id, source_of(orphan.record)
        )
        return orphan.overlay

    def _accessed(self, inode: Inode, record: NodeRecord) -> None:
        """Move the access time, if it is due."""
        if self.is_read_only:
            return
        now_ns = self.stamps.now_ns()
        atime_ns = self.access_times.of(inode, record.mtime_ns)
        if is_due(atime_ns, record.mtime_ns, record.ctime_ns, now_ns):
            self.access_times.read(inode, now_ns)

    def _drop_set_id(self, inode: Inode) -> None:
        """Somebody without privileges changed the content. Joins the caller's transaction."""
        record = self.record(inode)
        mode = without_set_id(record.mode)
        if mode != record.mode:
            self._set_record(inode, record._replace(mode=mode))
            # The kernel takes only sizes and times for changed by a write.
            self.kernel.invalidate_attributes_now(inode)

    def _set_record(self, inode: Inode, record: NodeRecord) -> None:
        orphan = self.table.orphans.get(inode)
        if orphan is not None:
            orphan.record = record
        else:
            self.tree.set_attributes(record)

    def _truncate(self, inode: Inode, record: NodeRecord, size_bytes: int, now_ns: int) -> None:
        _check_has_bytes(record)
        if size_bytes > FILE_SIZE_BYTES_MAX:
            raise FileTooLarge("a file grows to at most 16 TiB less 4 KiB")
        overlay = self._overlay_for_writing(inode)
        self.state.overlays.truncate(overlay, size_bytes, now_ns=now_ns)

    def _entries(self, listing: Listing, position: int) -> Iterator[FolderEntry]:
        for name, node_id, following in listing.entries(position):
            record = self.tree.node(node_id)
            if record is not None:
                attributes = self.attributes(self.inode_of(node_id), record)
                yield FolderEntry(name, attributes, following)

    def _file(self, handle: Handle) -> OpenFile:
        file = self._files.get(handle)
        if file is None:
            raise BadHandle("no open file")
        return file

    def _next_handle(self) -> Handle:
        self._last_handle += 1
        return Handle(self._last_handle)


def _check_has_bytes(record: NodeRecord) -> None:
    if record.is_folder:
        raise IsADirectory(f"node {record.node_id}")
    if not record.is_file:
        # Symlinks, FIFOs and devices are the kernel's to open.
        raise InvalidArgument("not a file")


def _changed(record: NodeRecord, changes: AttributeChanges, now_ns: int) -> NodeRecord:
    if record.kind == NodeKind.SYMLINK and changes.mode is not None:
        raise OperationNotPermitted("a symlink has no mode")
    mode = record.mode if changes.mode is None else changes.mode & 0o7777
    if changes.is_chown and not record.is_folder:
        mode = without_set_id(mode)
    return record._replace(
        mode=mode,
        uid=record.uid if changes.uid is None else changes.uid,
        gid=record.gid if changes.gid is None else changes.gid,
        mtime_ns=(
            record.mtime_ns if changes.mtime_ns is None else nearest_kept_ns(changes.mtime_ns)
        ),
        ctime_ns=now_ns,
    )
