"""One mount from the handshake to the end. pyfuse3 knows one mount a process, so does this.

Life: `serve` mounts, answers, and returns when the mount is gone. It goes by an unmount from
outside, or by `stop`, which leaves the mount point to the caller.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyfuse3
import trio

from mountfs.errors import SetupError
from mountfs.fuse.deadlines import RequestDeadlines
from mountfs.fuse.invalidator import Invalidator
from mountfs.fuse.kernel_tuning import tune_mount
from mountfs.fuse.mount_table import find_mount
from mountfs.fuse.mounting import mount_options
from mountfs.fuse.native_messages import WithoutAnswersToNobody, native_messages
from mountfs.fuse.operations import Operations
from mountfs.fuse.reading_turn import ReadingTurn
from mountfs.fuse.trio_shim import TrioShim
from mountfs.fuse.xattr_operations import OperationsWithXattrs
from mountfs.vfs.interface import FileSystem

_LOG = logging.getLogger(__name__)

REQUESTS_MAX: Final = 1000
"""Under way at once. A stat behind many slow reads must still be answered, so this is large."""
IDLE_WORKERS_MAX: Final = 16
LAST_HANDLERS_S: Final = 5.0
JOIN_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class MountSettings:
    """`mount_point`: as `prepare_mount_point` returned it."""

    mount_point: Path
    is_read_only: bool = False
    allow_other: bool = False
    has_xattrs: bool = False


class PyfuseNotifications:
    """`KernelNotifications` of this process's mount."""

    def forget_content(self, inode: int) -> None:
        pyfuse3.invalidate_inode(inode, attr_only=False)

    def forget_attributes(self, inode: int) -> None:
        pyfuse3.invalidate_inode(inode, attr_only=True)

    def forget_entry(self, parent: int, name: bytes) -> None:
        pyfuse3.invalidate_entry(parent, name)


class FuseSession:
    """The mount of this process; serves once."""

    def __init__(
        self,
        filesystem: FileSystem,
        settings: MountSettings,
        invalidator: Invalidator,
        *,
        on_mounted: Callable[[], None],
    ) -> None:
        """`on_mounted` is called once on the event loop, when programs may use the mount."""
        self._settings = settings
        self._invalidator = invalidator
        self._on_mounted = on_mounted
        self._deadlines = RequestDeadlines()
        self._turn = ReadingTurn()
        operations = OperationsWithXattrs if settings.has_xattrs else Operations
        self._operations = operations(
            filesystem, self._deadlines, self._turn, on_init=self._on_init
        )
        self._answering = trio.CancelScope()
        self._initialised = trio.Event()
        self._has_ended = False

    async def serve(self) -> None:
        """Mount and answer until the mount is gone, or `stop`.

        Raises:
            SetupError: The kernel or fusermount3 refused.
        """
        pyfuse3.trio = TrioShim(self._deadlines, self._turn)  # type: ignore[attr-defined]
        logging.getLogger("pyfuse3").addFilter(WithoutAnswersToNobody())
        self._mount()
        try:
            with self._answering:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._announce)
                    nursery.start_soon(self._deadlines.watch)
                    await pyfuse3.main(IDLE_WORKERS_MAX, REQUESTS_MAX)
                    nursery.cancel_scope.cancel()
        finally:
            self._has_ended = True
            self._invalidator.disarm()
            # A notification that still waits in the kernel ends when the process does; the
            # session must not be freed under it.
            if self._invalidator.join(JOIN_S):
                pyfuse3.close(unmount=False)

    def stop(self) -> None:
        """Make `serve` return, after at most LAST_HANDLERS_S more for requests under way.

        The mount point stays until the process ends or somebody unmounts it. On the event loop.
        Idempotent, also after the end.
        """
        if self._has_ended:
            return  # pyfuse3 has freed what it would need
        self._invalidator.disarm()
        self._answering.deadline = trio.current_time() + LAST_HANDLERS_S
        if self._initialised.is_set():
            pyfuse3.terminate()
        else:
            self._answering.cancel()

    def _mount(self) -> None:
        settings = self._settings
        options = mount_options(
            is_read_only=settings.is_read_only, allow_other=settings.allow_other
        )
        try:
            with native_messages() as said:
                pyfuse3.init(self._operations, str(settings.mount_point), options)
        except RuntimeError as error:
            raise SetupError(
                f"cannot mount {settings.mount_point}: {said.text or error}",
                remedy="run `mountfs doctor`, which names what is missing",
            ) from error

    def _on_init(self) -> None:
        self._invalidator.arm()
        self._initialised.set()

    async def _announce(self) -> None:
        # The kernel sets its own limits when it takes our answer to the handshake, so ours come
        # after it: the answer is on its way before this task runs.
        await self._initialised.wait()
        mounted = find_mount(self._settings.mount_point)
        if mounted is not None:
            tune_mount(mounted.device)
        _LOG.info("mounted on %s", self._settings.mount_point)
        self._on_mounted()
