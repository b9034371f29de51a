"""A mount from its start to its end: commands, signals, sync, unmount.

How a mount ends:

    umount          refused while programs use it, or while the server lacks something that it
                    may still get; then unmounted, then what came in between is sent, then the end
    umount --now    unmounted unless programs use it; the rest stays queued for the next mount
    SIGTERM, INT    what can be sent in LAST_SYNC_S is; unmounted whether in use or not
    from outside    (`fusermount3 -u`) the same, without the unmounting

Whatever is not sent lies in the state folder, durable, and the next mount sends it.
"""

import logging
import signal
from pathlib import Path
from typing import Final, Protocol

import trio

from mountfs.app.control_messages import ConflictsAnswer, Done, Progress, Request, StatusAnswer
from mountfs.app.control_server import Send
from mountfs.app.failures import first_leaf
from mountfs.app.status import MountStatus, Parked, Queue
from mountfs.errors import MountError, Offline, ServerBusy, SetupError, Unavailable
from mountfs.fuse.mount_users import MountUser, programs_using
from mountfs.fuse.mounting import MountBusy, unmount

_LOG = logging.getLogger(__name__)

LAST_SYNC_S: Final = 10.0
PATIENCE_S: Final = 15.0
"""A sync without headway gives up after it was kept waiting by the server for so long."""
PROGRESS_EVERY_S: Final = 0.25
GOODBYE_S: Final = 2.0
STARTED_TO_STOP: Final = "the mount is being stopped already"


class ServedDrive(Protocol):
    """What is mounted, as far as its life is concerned."""

    def status(self) -> MountStatus: ...

    def conflicts(self, skip: int) -> ConflictsAnswer:
        """Return some of the conflict copies, behind the first `skip`."""
        ...

    async def resolve(self, path: bytes, keep: str) -> ConflictsAnswer:
        """Settle the conflict copy at `path`; return what it was."""
        ...

    @property
    def queue(self) -> Queue:
        """What the server does not have. Memory only."""
        ...

    @property
    def is_online(self) -> bool: ...

    @property
    def refusal(self) -> MountError | None:
        """Why the server wants nothing from us any more, until somebody acts; None if it does."""
        ...

    @property
    def trouble(self) -> Unavailable | None:
        """Why a content could not be sent the last time; None if it could, or is being sent."""
        ...

    async def sync(self) -> list[Parked]:
        """Return when the server has everything written so far but what is parked."""
        ...


class Session(Protocol):
    """`mountfs.fuse.session.FuseSession`."""

    async def serve(self) -> None: ...

    def stop(self) -> None: ...


class MountPoint(Protocol):
    """Where it is mounted, in the eyes of everybody else."""

    @property
    def path(self) -> Path: ...

    async def users(self) -> list[MountUser]:
        """Return programs that use it."""
        ...

    async def unmount(self, *, lazily: bool) -> None:
        """Unmount. Raises `MountBusy` (never when `lazily`), `SetupError`."""
        ...


class KernelMountPoint:
    """`MountPoint` of the real kernel."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def users(self) -> list[MountUser]:
        return await trio.to_thread.run_sync(programs_using, self.path)

    async def unmount(self, *, lazily: bool) -> None:
        # In a thread: while it runs, the kernel asks us.
        await trio.to_thread.run_sync(lambda: unmount(self.path, lazily=lazily))


class MountLife:
    """Serves one drive at one mount point, once."""

    def __init__(self, drive: ServedDrive, session: Session, mount_point: MountPoint) -> None:
        self._drive = drive
        self._session = session
        self._mount_point = mount_point
        self._is_stopping = False
        self._skips_last_sync = False
        self._stop_commands = 0
        self._ended = trio.Event()
        self._goodbyes_said = trio.Event()
        self._parked_at_end: list[Parked] = []

    async def serve(self) -> None:
        """Serve until the mount is gone, then send what is left for a moment."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._obey_signals)
            await self._session.serve()
            _LOG.info("unmounted")
            if not self._skips_last_sync:
                await self._sync_for_a_moment()
            self._ended.set()
            if self._stop_commands:
                with trio.move_on_after(GOODBYE_S):
                    await self._goodbyes_said.wait()
            nursery.cancel_scope.cancel()

    # Commands --------------------------------------------------------------------------------

    async def answer(self, request: Request, send: Send) -> None:
        """Answer one command. Raises the tree of `mountfs.errors`."""
        match request.verb:
            case "status":
                await send(StatusAnswer(self._drive.status()))
            case "conflicts":
                await send(self._drive.conflicts(request.skip))
            case "resolve":
                await send(await self._drive.resolve(request.path, request.keep))
            case "sync":
                parked = await self._sync_telling(send)
                await send(Done(parked))
            case "stop":
                self._stop_commands += 1
                try:
                    await self._stop(send, now=request.now)
                finally:
                    self._stop_commands -= 1
                    if self._ended.is_set() and not self._stop_commands:
                        self._goodbyes_said.set()

    async def _stop(self, send: Send, *, now: bool) -> None:
        if self._is_stopping:
            raise SetupError(STARTED_TO_STOP)
        self._is_stopping = True
        try:
            await self._refuse_if_used()
            if not now:
                parked = await self._sync_telling(send)
                if parked:
                    await send(Done(parked))
                    return
            self._skips_last_sync = now
            try:
                await self._mount_point.unmount(lazily=False)
            except MountBusy:
                # Somebody came while we were syncing.
                self._skips_last_sync = False
                await self._refuse_if_used()
                raise
        finally:
            self._is_stopping = False
        await self._ended.wait()
        await send(Done(self._parked_at_end, self._drive.queue))

    async def _refuse_if_used(self) -> None:
        users = await self._mount_point.users()
        if users:
            raise MountBusy(
                f"{self._mount_point.path} is in use by {_listed(users)}",
                remedy="close these files or end these programs, then try again",
            )

    async def _sync_telling(self, send: Send) -> list[Parked]:
        """Sync while telling `send` how far it is. Raises Offline after PATIENCE_S."""

        async def tell() -> None:
            while True:
                await trio.sleep(PROGRESS_EVERY_S)
                await send(Progress(self._drive.queue, self._drive.is_online))

        parked: list[Parked] = []
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tell)
                nursery.start_soon(self._give_up_when_hopeless)
                parked = await self._drive.sync()
                nursery.cancel_scope.cancel()
        except ExceptionGroup as group:
            raise first_leaf(group) from None
        return parked

    async def _give_up_when_hopeless(self) -> None:
        """Raise when the server will not take the rest soon."""
        stuck_s = 0.0
        queue = self._drive.queue
        while stuck_s < PATIENCE_S:
            await trio.sleep(PROGRESS_EVERY_S)
            if self._drive.refusal is not None:
                raise self._drive.refusal
            if self._drive.queue != queue:
                queue, stuck_s = self._drive.queue, 0.0
            elif not self._drive.is_online or self._drive.trouble is not None:
                stuck_s += PROGRESS_EVERY_S
        rest = f"{queue.operations} changes wait here"
        trouble = self._drive.trouble
        if self._drive.is_online and isinstance(trouble, ServerBusy):
            raise ServerBusy(f"{trouble} {rest}", retry_after_s=trouble.retry_after_s)
        raise Offline(f"the server cannot be reached; {rest}")

    # Signals ---------------------------------------------------------------------------------

    async def _obey_signals(self) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for number in signals:
                if number == signal.SIGHUP:
                    continue  # the terminal went; we stay
                _LOG.info("stopping: %s", signal.Signals(number).name)
                break
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end_mount)
                async for number in signals:
                    if number != signal.SIGHUP:
                        # Asked twice: not even a moment.
                        self._skips_last_sync = True
                        self._session.stop()

    async def _end_mount(self) -> None:
        await self._sync_for_a_moment()
        try:
            await self._mount_point.unmount(lazily=False)
        except MountBusy:
            _LOG.warning("%s is in use: its programs lose it", self._mount_point.path)
            await self._end_used_mount()
        except SetupError as error:
            _LOG.info("cannot unmount %s: %s", self._mount_point.path, error)
            self._session.stop()

    async def _end_used_mount(self) -> None:
        try:
            await self._mount_point.unmount(lazily=True)
        except SetupError as error:
            _LOG.info("cannot unmount %s: %s", self._mount_point.path, error)
        self._session.stop()

    async def _sync_for_a_moment(self) -> None:
        if self._drive.queue.is_empty:
            return
        try:
            with trio.move_on_after(LAST_SYNC_S):
                self._parked_at_end = await self._drive.sync()
        except MountError as error:
            _LOG.info("the last sync ended early: %s", error)
        if not self._drive.queue.is_empty:
            _LOG.info("%d changes stay queued", self._drive.queue.operations)


def _listed(users: list[MountUser]) -> str:
    return ", ".join(f"{user.command} (process {user.pid}, {user.path})" for user in users[:5])
