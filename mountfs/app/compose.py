"""Everything that one mount is made of, put together, from the bottom up.

    device, server ─► state ─► cache ─► chunks, manifests, reader, uploader
                        │                       │
                        └──── file system ── sync ──► kernel session ──► life

What must be cancelled last is opened first. Each background task below is started here and lives
until the mount ends; one that fails ends the mount, because it can only be a bug.
"""

import logging
import os
import random
from collections.abc import Callable
from typing import Final

import trio

from backend_server.protocol.account_messages import DriveInfo
from backend_server.protocol.identity import DriveId
from cache import BlockCache
from mountfs.app.account import client_of
from mountfs.app.cache_upkeep import keep_cache_in_order, open_cache
from mountfs.app.close_to_open import CloseToOpenFileSystem
from mountfs.app.content_access import (
    DriveContentAccess,
    DriveContentSender,
    DriveMergeWork,
    SmallFilesPrefetch,
)
from mountfs.app.control_server import serve_commands
from mountfs.app.daemon import DOT_S, Verdict
from mountfs.app.device import DeviceRecord, load_device
from mountfs.app.drives import choose_drive, load_drives, store_drives
from mountfs.app.identity_of_work import new_node_id, number_anew_for_a_new_device
from mountfs.app.mount_life import KernelMountPoint, MountLife
from mountfs.app.refetch import Refetch
from mountfs.app.registry import Registry, RunningMount
from mountfs.app.running_drive import RunningDrive
from mountfs.app.staging_upkeep import keep_staging_sealed
from mountfs.app.start_mount import MountPlan
from mountfs.app.status import RecentHappenings
from mountfs.app.transfer_counts import TransferCounts
from mountfs.app.wake_watch import watch_for_wakes
from mountfs.blocks.bring_back import BringBack
from mountfs.blocks.fetcher import BlockFetcher
from mountfs.blocks.lost_chunks import LostChunks
from mountfs.blocks.manifests import ManifestCatalog
from mountfs.blocks.older import OlderManifests
from mountfs.blocks.reader import ContentReader
from mountfs.blocks.store import ChunkStore
from mountfs.blocks.uploader import Uploader
from mountfs.blocks.workers import ThreadWorkers
from mountfs.clock import elapsed_s
from mountfs.errors import Unavailable
from mountfs.fuse.invalidator import Invalidator
from mountfs.fuse.session import (
    FuseSession,
    MountSettings,
    PyfuseNotifications,
)
from mountfs.state.overlay import Source
from mountfs.state.store import StateStore
from mountfs.state.tree import source_of
from mountfs.state.view_changes import ViewChanges
from mountfs.sync.drive_sync import DriveSync
from mountfs.transport.client import ServerClient
from mountfs.vfs.attributes import Ownership
from mountfs.vfs.file_system import DriveFileSystem
from mountfs.vfs.prefetch import TreePrefetch

_LOG = logging.getLogger(__name__)

DRIVES_TIMEOUT_S: Final = 5.0
"""A mount that knows its drives waits no longer for the server to tell about them anew."""
CODEC_THREADS: Final = 2
MERGE_THREADS: Final = 1
LAST_CACHE_WRITES_S: Final = 3.0
LOOK_EVERY_S: Final = 0.05


async def serve_mount(plan: MountPlan, verdict: Verdict) -> None:
    """Serve one mount until it ends. Gives `verdict` when programs can use it.

    Raises:
        MountError: Not mounted, and why.
    """
    record = load_device(plan.state)
    async with client_of(record) as client, trio.open_nursery() as nursery:
        nursery.start_soon(_tell_parent, verdict)
        drive = choose_drive(await _ask_drives(plan, client), plan.drive)
        async with open_cache(plan.state, limit_bytes=plan.cache_size_bytes) as cache:
            state = StateStore.open(
                plan.state.drive(drive.drive_id),
                DriveId(drive.drive_id),
                staging_limit_bytes=plan.staging_size_bytes,
            )
            if copies := state.recovered:
                _LOG.warning("%d recovered copies wait for you: see `mountfs status`", len(copies))
            try:
                number_anew_for_a_new_device(state, record)
                mounted = _MountedDrive(plan, record, drive, client, cache, state)
                await mounted.serve(lambda: _announce(plan, verdict))
            finally:
                state.close()
                Registry().remove(plan.mount_point)


class _MountedDrive:
    """The parts of one mount, introduced to each other."""

    def __init__(
        self,
        plan: MountPlan,
        record: DeviceRecord,
        drive: DriveInfo,
        client: ServerClient,
        cache: BlockCache,
        state: StateStore,
    ) -> None:
        drive_id = DriveId(drive.drive_id)
        self._plan = plan
        self._state = state
        self._client = client
        self._cache = cache
        recent = RecentHappenings()
        counts = TransferCounts(client.traffic)

        workers = ThreadWorkers(CODEC_THREADS)
        drives = {drive_id: drive}
        older = OlderManifests()
        self._chunks = ChunkStore(cache, workers=ThreadWorkers(1))
        self._catalog = ManifestCatalog(client, self._chunks, older, workers)
        self._fetcher = BlockFetcher(client, self._chunks, drives)
        self._reader = ContentReader(self._chunks, self._fetcher, older)
        lost = LostChunks()
        uploader = Uploader(
            client, self._chunks, self._reader, self._catalog, drives, workers, os.urandom, lost
        )
        self._bring_back = BringBack(
            client, self._chunks, workers, drive, lost, new_upload_id=uploader.new_upload_id
        )
        self._prefetch = SmallFilesPrefetch(drive_id, self._reader, self._catalog)

        self._refetch = Refetch(drive_id, self._reader, self._catalog, self._committed_content)

        sender = DriveContentSender(
            drive_id, uploader, self._chunks, self._catalog, counts, happened=self._note_sent
        )
        self._sync = DriveSync(
            state,
            client,
            sender,
            DriveMergeWork(drive_id, self._reader, self._catalog, ThreadWorkers(MERGE_THREADS)),
            device_name=record.device_name,
            is_merging=plan.is_merging,
            new_node_id=new_node_id,
            on_view_changes=self._view_changed,
            on_online=self._set_online,
            jitter=random.Random(),
        )
        self._invalidator = Invalidator(PyfuseNotifications())
        make = CloseToOpenFileSystem if plan.is_close_to_open else DriveFileSystem
        self._filesystem = make(
            state,
            DriveContentAccess(self._reader, self._catalog),
            self._invalidator,
            ownership=Ownership(os.getuid(), os.getgid(), is_stored=os.getuid() == 0),
            is_read_only=plan.is_read_only,
            new_node_id=new_node_id,
            on_local_change=self._sync.local_change,
            prefetch=TreePrefetch(state.mirror, self._prefetch.request),
        )
        if isinstance(self._filesystem, CloseToOpenFileSystem):
            self._filesystem.catch_up = self._sync.catch_up
        self._drive = RunningDrive(
            mount_point=str(plan.mount_point),
            drive_name=drive.name,
            state=state,
            filesystem=self._filesystem,
            sync=self._sync,
            sender=sender,
            cache=cache,
            counts=counts,
            recent=recent,
            connect_anew=self._connect_anew,
        )

    async def serve(self, on_mounted: Callable[[], None]) -> None:
        """Serve until the mount has ended and what could be sent is sent."""
        plan = self._plan
        session = FuseSession(
            self._filesystem,
            MountSettings(plan.mount_point, plan.is_read_only, plan.allow_other, plan.has_xattrs),
            self._invalidator,
            on_mounted=on_mounted,
        )
        life = MountLife(self._drive, session, KernelMountPoint(plan.mount_point))
        socket = plan.state.control_socket(plan.mount_point)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._chunks.run)
            nursery.start_soon(self._fetcher.run)
            nursery.start_soon(self._catalog.run)
            nursery.start_soon(self._prefetch.run)
            nursery.start_soon(self._refetch.run)
            nursery.start_soon(self._bring_back.run)
            nursery.start_soon(keep_cache_in_order, self._cache)
            nursery.start_soon(keep_staging_sealed, self._state)
            nursery.start_soon(self._sync.run)
            nursery.start_soon(watch_for_wakes, elapsed_s, self._woke)
            await self._await_tree()
            await nursery.start(serve_commands, socket, life.answer)
            await life.serve()
            with trio.move_on_after(LAST_CACHE_WRITES_S):
                await self._chunks.drain()
            nursery.cancel_scope.cancel()

    async def _await_tree(self) -> None:
        """Return when there is a tree to show: at once but for the first mount."""
        while not self._sync.has_mirror.is_set():
            if self._sync.last_error is not None:
                raise self._sync.last_error
            with trio.move_on_after(LOOK_EVERY_S):
                await self._sync.has_mirror.wait()

    def _set_online(self, is_online: bool) -> None:
        _LOG.info("online" if is_online else "offline")
        self._reader.set_online(is_online)
        self._catalog.set_online(is_online)
        self._filesystem.space.is_online = is_online
        if is_online:
            self._refetch.try_again()
            self._bring_back.try_again()

    async def _woke(self, slept_s: float) -> None:
        _LOG.info("slept for %.0f s: connecting anew", slept_s)
        await self._connect_anew()

    async def _connect_anew(self) -> None:
        await self._client.drop_connections()
        self._sync.woke()

    def _view_changed(self, changes: ViewChanges) -> None:
        self._filesystem.apply_view_changes(changes)
        self._refetch.note(changes.replaced)
        self._drive.note_remote(changes)

    def _committed_content(self, node_id: int) -> Source | None:
        record = self._state.mirror.node(node_id)
        return None if record is None else source_of(record)

    def _note_sent(self, what: str, node_id: int) -> None:
        self._drive.note(node_id, what)


async def _ask_drives(plan: MountPlan, client: ServerClient) -> list[DriveInfo]:
    """Return which drives there are: as the server says, else as it said last.

    Raises:
        NotLoggedIn, Refused: The server wants us no more.
        Offline: It is away, and never said.
    """
    try:
        with trio.fail_after(DRIVES_TIMEOUT_S):
            drives = (await client.account()).drives
    except (Unavailable, trio.TooSlowError) as error:
        _LOG.info("starting without the server: %s", error)
        return load_drives(plan.state)
    store_drives(plan.state, drives)
    return drives


async def _tell_parent(verdict: Verdict) -> None:
    while not verdict.is_given:
        verdict.still_starting()
        await trio.sleep(DOT_S)


def _announce(plan: MountPlan, verdict: Verdict) -> None:
    Registry().add(
        RunningMount(
            mount_point=str(plan.mount_point),
            control_socket=str(plan.state.control_socket(plan.mount_point)),
            state_folder=str(plan.state.path),
            log_file=str(plan.state.log_file(plan.mount_point)),
            pid=os.getpid(),
        )
    )
    verdict.mounted()
