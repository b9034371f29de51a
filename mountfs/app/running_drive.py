"""A mounted drive as commands see it: its state in numbers, and sync."""

import os
from collections.abc import Awaitable, Callable
from typing import Final

from cache import BlockCache
from mountfs.app.content_access import DriveContentSender
from mountfs.app.control_messages import ConflictsAnswer
from mountfs.app.status import (
    CacheUse,
    Conflict,
    KernelUse,
    MountStatus,
    Parked,
    Queue,
    RecentHappenings,
    Recovered,
    load_memory,
)
from mountfs.app.transfer_counts import TransferCounts
from mountfs.core.resolution import Keep
from mountfs.errors import InvalidArgument, MountError, NotLoggedIn, Unavailable
from mountfs.state.conflict_copies import ConflictCopy, find_conflict_copies
from mountfs.state.store import StateStore
from mountfs.state.view_changes import ViewChanges
from mountfs.sync.drive_sync import DriveSync
from mountfs.vfs.file_system import DriveFileSystem
from mountfs.vfs.resolution import conflict_copy_at, resolve_conflict

_SHOWN_IN_STATUS: Final = 10
_LISTED_MAX: Final = 400
"""Conflicts of one answer, which has a bound in bytes."""
_SHOWN_OF_A_BATCH: Final = 10
"""Names of one batch of remote changes that are worth showing."""


class RunningDrive:
    """Implements `mount_life.ServedDrive`."""

    def __init__(
        self,
        *,
        mount_point: str,
        drive_name: str,
        state: StateStore,
        filesystem: DriveFileSystem,
        sync: DriveSync,
        sender: DriveContentSender,
        cache: BlockCache,
        counts: TransferCounts,
        recent: RecentHappenings,
        connect_anew: Callable[[], Awaitable[None]],
    ) -> None:
        """`connect_anew` gives up every connection there is, and tries at once."""
        self._mount_point = mount_point
        self._drive_name = drive_name
        self._state = state
        self._filesystem = filesystem
        self._sync = sync
        self._sender = sender
        self._cache = cache
        self._counts = counts
        self._recent = recent
        self._connect_anew = connect_anew

    @property
    def queue(self) -> Queue:
        overlays = self._state.overlays
        return Queue(self._sync.pending_count, overlays.dirty_bytes if len(overlays) else 0)

    @property
    def is_online(self) -> bool:
        return self._sync.is_online

    @property
    def refusal(self) -> MountError | None:
        error = self._sync.last_error
        return error if isinstance(error, NotLoggedIn) else None

    @property
    def trouble(self) -> Unavailable | None:
        return self._sender.trouble

    async def sync(self) -> list[Parked]:
        if not self.is_online:
            # Whoever asks may know that the link is back. A call that froze with it would go on
            # waiting for its deadline (30 s).
            await self._connect_anew()
        return [self._parked(node_id) for node_id in await self._sync.sync_now()]

    def status(self) -> MountStatus:
        cache = self._cache.stats()
        copies = find_conflict_copies(self._state)
        return MountStatus(
            mount_point=self._mount_point,
            pid=os.getpid(),
            drive=self._drive_name,
            online=self.is_online,
            queue=self.queue,
            parked=[self._parked(node_id) for node_id in sorted(self._state.parking.codes)],
            conflicts=[self._conflict(copy) for copy in copies[:_SHOWN_IN_STATUS]],
            conflicts_count=len(copies),
            recovered=[
                Recovered(copy.known_path or self._path_of(copy.node_id), str(copy.path))
                for copy in self._state.recovered
            ],
            transfers=self._counts.now(),
            cache=CacheUse(
                used_bytes=cache.used_bytes,
                limit_bytes=cache.limit_bytes,
                hits=cache.hit_count,
                misses=cache.miss_count,
            ),
            memory=load_memory(),
            kernel=KernelUse(
                inodes=self._filesystem.table.known_count,
                open_files=self._filesystem.open_files_count,
                nameless_files=len(self._filesystem.table.orphans),
            ),
            recent=self._recent.newest_first(),
        )

    def conflicts(self, skip: int) -> ConflictsAnswer:
        copies = find_conflict_copies(self._state)
        shown = [self._conflict(copy) for copy in copies[max(skip, 0) :][:_LISTED_MAX]]
        return ConflictsAnswer(shown, len(copies))

    async def resolve(self, path: bytes, keep: str) -> ConflictsAnswer:
        try:
            wanted = Keep(keep)
        except ValueError as error:
            raise InvalidArgument(f"{keep!r} is nothing that can be kept") from error
        found = conflict_copy_at(self._state, path)
        settled = self._conflict(found)
        await resolve_conflict(self._filesystem, found, wanted)
        return ConflictsAnswer([settled], 1)

    def note_remote(self, changes: ViewChanges) -> None:
        """Show in `recent` what others changed."""
        for parent, name in list(changes.dentries)[:_SHOWN_OF_A_BATCH]:
            is_there = self._state.tree.child(parent, name)
            self._recent.note("received" if is_there else "removed", self._path(parent, name))
        for node_id in list(changes.contents)[:_SHOWN_OF_A_BATCH]:
            self.note(node_id, "merged" if node_id in changes.merged else "received")

    def note(self, node_id: int, what: str) -> None:
        """Show in `recent` what happened to a node."""
        self._recent.note(what, self._path_of(node_id))

    def _parked(self, node_id: int) -> Parked:
        code = self._state.parking.codes.get(node_id, "")
        return Parked(self._path_of(node_id), code.replace("_", " "))

    def _conflict(self, found: ConflictCopy) -> Conflict:
        original = found.original
        return Conflict(
            path=self._path_of(found.copy.node_id),
            original="" if original is None else self._path_of(original.node_id),
            device=found.mark.device,
            at=found.mark.at_ns / 1e9,
            size_bytes=found.copy.size_bytes,
            original_size_bytes=0 if original is None else original.size_bytes,
        )

    def _path(self, parent: int, name: bytes) -> str:
        folder = self._state.tree.path_of(parent)
        return _shown(folder + b"/" + name if folder else name)

    def _path_of(self, node_id: int) -> str:
        return _shown(self._state.tree.path_of(node_id))


def _shown(path: bytes) -> str:
    return os.fsdecode(path).encode(errors="backslashreplace").decode()
