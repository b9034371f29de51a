"""Contents on their way to the server, beside the commits.

A file that is due is frozen and given to the sender; what comes back can be committed at any later
time. Small contents come back at once (they ride in the commit), large ones upload meanwhile, and
nobody waits for them.
"""

from collections.abc import Callable, Iterable, Set
from contextlib import suppress
from typing import NamedTuple, Protocol

import structlog
import trio

from backend_server.protocol.commit_messages import NewContent
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import UploadId
from mountfs.core.commit_plan import ReadyContent
from mountfs.core.content import ContentSource, DirtyContent, Manifest
from mountfs.core.deferral import SendHistory, content_due_at_s
from mountfs.errors import (
    Corruption,
    LocalStorageError,
    LocalStorageFull,
    MountError,
    NotLoggedIn,
    QuotaExceeded,
    RequestRefused,
    StagedBytesLost,
    Unavailable,
)
from mountfs.state.overlay import Overlay, Source
from mountfs.state.store import StateStore
from mountfs.sync.frozen_content import FrozenContent

_log = structlog.get_logger()

_SMALL_JOBS_MAX = 16
_LARGE_JOBS_MAX = 2
_SMALL_BYTES_MAX = 64 * 1024
_SMALL_WAIT_S = 1.0
_STARTED_AT_ONCE = 250
"""Jobs of which others wait for the first step: 8 ms. 25,000 files written offline were 0.9 s."""
_RETRY_DELAYS_S = (0.5, 1, 2, 5, 10, 30)


class Sent(Protocol):
    @property
    def new_content(self) -> NewContent: ...
    @property
    def manifest(self) -> Manifest: ...


class ContentSender(Protocol):
    """What `sync` needs of `blocks`."""

    def new_upload_id(self) -> UploadId:
        """Return an id that nobody has used."""
        ...

    async def send(
        self,
        content: DirtyContent,
        *,
        similar: list[ContentSource],
        upload_id: UploadId,
        is_retry: bool,
    ) -> Sent:
        """Cut, encode and upload. Raises `Unavailable`: call again with the same id, what arrived
        is not sent again. Raises `Refused`: it will not be taken."""
        ...

    async def source(self, source: Source) -> ContentSource:
        """Return a committed content with its manifest."""
        ...

    async def hold(self, source: Source) -> bool:
        """Keep a committed content on this device until its node is `let_go`, or the process ends.

        Whether all of it is here; if not, nothing is held. Asks no server."""
        ...

    def let_go(self, node_id: int) -> None:
        """What is held of the node is needed no longer. Nothing may be."""
        ...


class _Job(NamedTuple):
    """What is sent: these layers, maybe none, over this very source."""

    generation_ids: tuple[int, ...]
    source: Source | None


class _Ready(NamedTuple):
    sent: Sent
    job: _Job
    touched: int


class Contents:
    """Which contents are due, on their way, ready. One per drive; jobs live in `nursery`."""

    def __init__(
        self,
        state: StateStore,
        sender: ContentSender,
        nursery: trio.Nursery,
        *,
        wake: Callable[[], None],
    ) -> None:
        self._state = state
        self._sender = sender
        self._nursery = nursery
        self._wake = wake
        self._small = trio.CapacityLimiter(_SMALL_JOBS_MAX)
        self._large = trio.CapacityLimiter(_LARGE_JOBS_MAX)
        self._jobs: dict[Overlay, _Job] = {}
        self._ready: dict[Overlay, _Ready] = {}
        self._broken_off: dict[Overlay, UploadId] = {}
        """Uploads that failed: the next try goes on with what arrived."""
        self._small_left = 0
        self._small_done = trio.Condition()
        self._history = SendHistory()
        self.is_hurried = False
        """Everything is due at once: somebody waits for the server to have it."""

    def next_due_at_s(self) -> float | None:
        """Return when the next content is due; None when nothing waits."""
        moments = [
            self._due_at_s(overlay) for overlay in self._state.overlays if self._waits(overlay)
        ]
        return min(moments, default=None)

    async def start_due(self, now_s: float) -> None:
        """Freeze and send whatever is due."""
        await self._start_each(
            overlay for overlay in self._state.overlays if self._due_at_s(overlay) <= now_s
        )

    async def make_known(self, node_ids: Set[int]) -> None:
        """Return when the small contents among `node_ids` are ready, or as `wait_small`.

        Whether both sides wrote the same is seen by what a content is made of.
        """
        overlays = (self._state.overlays.get(node_id) for node_id in sorted(node_ids))
        await self._start_each(
            overlay
            for overlay in overlays
            if overlay is not None and overlay.size_bytes <= _SMALL_BYTES_MAX
        )
        if node_ids:
            await self.wait_small()

    async def wait_small(self) -> None:
        """Return when the small contents that were started are ready or have failed, or soon:
        one whose base must come from far is not waited for."""
        with trio.move_on_after(_SMALL_WAIT_S):
            async with self._small_done:
                while self._small_left:
                    await self._small_done.wait()

    def ready(self) -> dict[int, ReadyContent]:
        """Return what can be committed, by node."""
        ready = {}
        for overlay, done in list(self._ready.items()):
            if not self._is_current(overlay, done.job):
                del self._ready[overlay]
                continue
            record = self._state.tree.node(overlay.node_id)
            if record is None:
                continue
            ready[overlay.node_id] = ReadyContent(
                overlay.node_id, overlay.expected_revision, done.sent.new_content,
                done.job.generation_ids, record.mtime_ns, record.ctime_ns, done.touched,
                overlay.merged_from,
            )  # fmt: skip
        return ready

    def unready(self) -> set[int]:
        """Return nodes with content that cannot be committed yet."""
        return {overlay.node_id for overlay in self._state.overlays if overlay not in self._ready}

    def manifest_ids(self) -> dict[int, bytes]:
        """Return the ids of our contents as far as they are known and nothing came on top."""
        return {
            overlay.node_id: done.sent.manifest.manifest_id
            for overlay, done in self._ready.items()
            if len(done.job.generation_ids) == len(overlay.generations)
        }

    def committed(self, node_id: int, now_s: float) -> None:
        """The node's content was sent in a batch."""
        self._history.sent(node_id, now_s)
        self._sender.let_go(node_id)

    async def hold_lost(self) -> None:
        """Keep on this device what the server lost and was not given back yet. At a start."""
        for overlay in self._state.overlays:
            if overlay.source is not None and self._state.has_lost(overlay.source.revision):
                with suppress(MountError):  # whoever sends it is told
                    await self._sender.hold(overlay.source)

    def forget(self, node_id: int) -> None:
        """What was ready of the node is not any more: committed, or lost on the server."""
        overlay = self._state.overlays.get(node_id)
        if overlay is not None:
            self._ready.pop(overlay, None)

    def forget_retired(self) -> None:
        """Drop what is known of overlays that are gone or whose generations were retired."""
        for overlay, done in list(self._ready.items()):
            if not self._is_current(overlay, done.job):
                del self._ready[overlay]
        for overlay in list(self._broken_off):
            if self._state.overlays.get(overlay.node_id) is not overlay:
                del self._broken_off[overlay]

    @property
    def is_idle(self) -> bool:
        return not self._jobs and not self._ready

    def _waits(self, overlay: Overlay) -> bool:
        return (
            overlay not in self._jobs
            and overlay not in self._ready
            and overlay.node_id > 0
            and overlay.node_id not in self._state.parking.codes
            and overlay.node_id not in self._state.disputes
        )

    def _due_at_s(self, overlay: Overlay) -> float:
        if self.is_hurried:
            return 0.0
        inode = self._state.inodes.inode_of(overlay.node_id)
        return content_due_at_s(
            first_change_s=overlay.first_change_s,
            last_change_s=overlay.last_change_s,
            is_open=inode in self._state.writers,
            recent_sends=self._history.recent_sends(
                overlay.node_id, self._state.clock.monotonic_s()
            ),
        )

    def _is_current(self, overlay: Overlay, job: _Job) -> bool:
        """Whether what a job sent is still to be committed. A source that was committed since is
        another one, also where a job has no layers that would be gone with it."""
        lowest = tuple(
            generation.generation_id
            for generation in overlay.generations[: len(job.generation_ids)]
        )
        return (
            self._state.overlays.get(overlay.node_id) is overlay
            and lowest == job.generation_ids
            and overlay.source is job.source
        )

    async def _start_each(self, overlays: Iterable[Overlay]) -> None:
        """Start those that wait, and are there when it is their turn: others run between some."""
        started_count = 0
        for overlay in overlays:
            is_there = self._state.overlays.get(overlay.node_id) is overlay
            if not is_there or not self._waits(overlay):
                continue
            self._start(overlay)
            started_count += 1
            if not started_count % _STARTED_AT_ONCE:
                await trio.lowlevel.checkpoint()

    def _start(self, overlay: Overlay) -> None:
        self._state.overlays.freeze(overlay)
        generation_ids = tuple(generation.generation_id for generation in overlay.generations)
        job = _Job(generation_ids, overlay.source)
        self._jobs[overlay] = job
        is_small = overlay.size_bytes <= _SMALL_BYTES_MAX
        self._small_left += is_small
        self._nursery.start_soon(self._run, overlay, job, is_small)

    async def _run(self, overlay: Overlay, job: _Job, is_small: bool) -> None:
        try:
            async with self._small if is_small else self._large:
                await self._send(overlay, job)
        finally:
            self._jobs.pop(overlay, None)
            if is_small:
                self._small_left -= 1
                async with self._small_done:
                    self._small_done.notify_all()
            self._wake()

    async def _send(self, overlay: Overlay, job: _Job) -> None:
        for delay_s in _RETRY_DELAYS_S:
            if not self._is_current(overlay, job):
                return  # removed meanwhile: nobody misses it
            try:
                touched = overlay.touched
                sent = await self._send_once(overlay, job)
                if sent is None:
                    return
            except (Unavailable, NotLoggedIn, LocalStorageFull) as error:
                _log.info("content waits", reason=str(error))
                await trio.sleep(delay_s)
                continue
            except MountError as error:
                node_id, code = overlay.node_id, _code_of(error)
                _log.warning(
                    "a content cannot be sent", node_id=node_id, code=code, error=str(error)
                )
                self._park(node_id, code)
                return
            self._ready[overlay] = _Ready(sent, job, touched)
            return

    def _park(self, node_id: int, code: str) -> None:
        try:
            self._state.parking.park(node_id, code, now_ns=self._state.clock.wall_ns())
        except LocalStorageError as error:
            _log.warning("a refusal cannot be noted; it will come again", error=str(error))

    async def _send_once(self, overlay: Overlay, job: _Job) -> Sent | None:
        state = self._state
        base = await self._sender.source(overlay.source) if overlay.source else None
        similar = []
        head = state.mirror.node(overlay.node_id)
        is_base_kept = base is None or not state.has_lost(base.revision)
        if head is not None and head.size_bytes and (base is None or not is_base_kept):
            old = Source(
                head.node_id, head.revision, head.manifest_id, head.entries, head.size_bytes
            )
            similar.append(await self._sender.source(old))
        if not self._is_current(overlay, job):
            return None  # removed while its base was asked for: its staged bytes are gone too
        content = FrozenContent(
            state.drive_id, overlay, state.overlays, state.staging, base,
            generations_count=len(job.generation_ids),
            is_base_kept=is_base_kept,
        )  # fmt: skip
        broken_off = self._broken_off.pop(overlay, None)
        upload_id = broken_off or self._sender.new_upload_id()
        try:
            return await self._sender.send(
                content, similar=similar, upload_id=upload_id, is_retry=broken_off is not None
            )
        except Unavailable:
            self._broken_off[overlay] = upload_id
            raise
        finally:
            content.close()


def _code_of(error: MountError) -> str:
    """Return what to show for a content that cannot be sent."""
    match error:
        case QuotaExceeded():
            return ErrorCode.QUOTA_EXCEEDED
        case RequestRefused(code=code):
            return code
        case StagedBytesLost():
            return "damaged_here,_see_mountfs_check"
        case Corruption():
            return "the_rest_of_the_file_is_lost"
        case _:
            return "local"
