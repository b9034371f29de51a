"""Tells the kernel to forget, from threads of its own: the `KernelCache` of a mount.

Each notification may block for as long as the kernel holds a lock for a request that we have yet
to answer (measured: on the event loop that is a deadlock). So calls only note what is to be
forgotten, and a few daemon threads tell the kernel.

Invariants:
- Between `arm` and `disarm` nothing noted is lost. Equal notes coalesce; content covers attributes.
- Work is kept by the inode whose lock the kernel takes (of an entry: its folder), and one thread
  at a time serves an inode. A stuck folder holds one thread, not all.
- Memory is bounded: beyond `names_max` noted names, further names go to a temporary file and
  come back when the noted ones are told. Inodes are bounded by what the kernel knows of us.
- Before `arm` the kernel knows nothing of us, so calls do nothing. After `disarm` returned, no new
  notification starts; `join` tells whether the last one ended.
"""

import logging
import struct
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, ParamSpec, Protocol

from mountfs.vfs.interface import Inode

_LOG = logging.getLogger(__name__)

THREADS: Final = 3
NAMES_MAX: Final = 1 << 16
"""Noted names held in memory, about 150 bytes each."""
BATCH_NAMES_MAX: Final = 256
"""How many names of one folder a thread tells before it looks at other folders."""

_SPILL_MEMORY_BYTES_MAX: Final = 4 * 1024 * 1024
_SPILL_HEADER: Final = struct.Struct("<QH")

P = ParamSpec("P")


class KernelNotifications(Protocol):
    """What the kernel can be told. Each call may block, and raises OSError."""

    def forget_content(self, inode: int) -> None: ...

    def forget_attributes(self, inode: int) -> None: ...

    def forget_entry(self, parent: int, name: bytes) -> None: ...


@dataclass(slots=True)
class _Notes:
    """What is to be told about one inode."""

    content: bool = False
    attributes: bool = False
    names: dict[bytes, None] = field(default_factory=dict)
    being_told: bool = False

    @property
    def is_empty(self) -> bool:
        return not (self.content or self.attributes or self.names)


class Invalidator:
    """The `KernelCache` of one mount. Safe to call from any thread; no call blocks or raises."""

    def __init__(
        self,
        kernel: KernelNotifications,
        *,
        threads: int = THREADS,
        names_max: int = NAMES_MAX,
    ) -> None:
        self._kernel = kernel
        self._names_max = names_max
        self._names_count = 0
        self._notes: dict[int, _Notes] = {}
        self._ready: dict[int, None] = {}
        """Inodes with notes that no thread is telling, oldest first."""
        self._spill = tempfile.SpooledTemporaryFile(max_size=_SPILL_MEMORY_BYTES_MAX)  # noqa: SIM115
        self._spilled_count = 0
        self._spill_read_at = 0
        self._changed = threading.Condition()
        self._armed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"invalidator-{index}", daemon=True)
            for index in range(threads)
        ]

    # KernelCache -----------------------------------------------------------------------------

    def invalidate_content(self, inode: Inode) -> None:
        with self._changed:
            if self._armed:
                self._notes_of(inode).content = True
                self._offer(inode)

    def invalidate_attributes(self, inode: Inode) -> None:
        with self._changed:
            if self._armed:
                self._notes_of(inode).attributes = True
                self._offer(inode)

    def invalidate_attributes_now(self, inode: Inode) -> None:
        # Attributes alone are the one thing that the kernel forgets without waiting for a lock.
        self._tell(self._kernel.forget_attributes, inode)

    def invalidate_entry(self, parent: Inode, name: bytes) -> None:
        with self._changed:
            if not self._armed:
                return
            if self._names_count >= self._names_max:
                self._write_spill(parent, name)
            else:
                self._note_name(parent, name)

    # Life ------------------------------------------------------------------------------------

    @property
    def pending_count(self) -> int:
        """Inodes with something to tell, and spilled names."""
        with self._changed:
            return len(self._notes) + self._spilled_count

    def arm(self) -> None:
        """Start the threads: the kernel has answered the handshake. Once."""
        self._armed = True
        for thread in self._threads:
            thread.start()

    def disarm(self) -> None:
        """Start no further notification; drop what is noted: the mount is ending. Idempotent."""
        with self._changed:
            self._armed = False
            self._changed.notify_all()

    def join(self, timeout_s: float) -> bool:
        """Wait for the threads after `disarm`. Returns whether no notification is under way."""
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(timeout_s)
        ended = not any(thread.is_alive() for thread in self._threads)
        if ended:
            self._spill.close()
        return ended

    # Notes (all with the lock held) ----------------------------------------------------------

    def _notes_of(self, inode: int) -> _Notes:
        notes = self._notes.get(inode)
        if notes is None:
            notes = self._notes[inode] = _Notes()
        return notes

    def _offer(self, inode: int) -> None:
        if not self._notes[inode].being_told and inode not in self._ready:
            self._ready[inode] = None
            self._changed.notify()

    def _note_name(self, parent: int, name: bytes) -> None:
        names = self._notes_of(parent).names
        if name not in names:
            names[name] = None
            self._names_count += 1
        self._offer(parent)

    def _write_spill(self, parent: int, name: bytes) -> None:
        self._spill.seek(0, 2)
        self._spill.write(_SPILL_HEADER.pack(parent, len(name)) + name)
        self._spilled_count += 1

    def _read_spill(self) -> None:
        self._spill.seek(self._spill_read_at)
        while self._spilled_count and self._names_count < self._names_max:
            parent, length = _SPILL_HEADER.unpack(self._spill.read(_SPILL_HEADER.size))
            self._note_name(parent, self._spill.read(length))
            self._spilled_count -= 1
        self._spill_read_at = self._spill.tell()
        if not self._spilled_count:
            self._spill.seek(0)
            self._spill.truncate()
            self._spill_read_at = 0

    def _take(self) -> tuple[int, _Notes] | None:
        """Wait for work and take a batch of it. None after `disarm`."""
        while self._armed and not self._ready:
            self._changed.wait()
        if not self._armed:
            return None
        inode = next(iter(self._ready))
        del self._ready[inode]
        notes = self._notes[inode]
        notes.being_told = True
        taken = _Notes(content=notes.content, attributes=notes.attributes)
        notes.content = notes.attributes = False
        for name in list(notes.names)[:BATCH_NAMES_MAX]:
            del notes.names[name]
            taken.names[name] = None
        self._names_count -= len(taken.names)
        if self._spilled_count and self._names_count < self._names_max // 2:
            self._read_spill()
        return inode, taken

    def _give_back(self, inode: int) -> None:
        notes = self._notes[inode]
        notes.being_told = False
        if notes.is_empty:
            del self._notes[inode]
        else:
            self._offer(inode)

    # Threads ---------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                work = self._take()
            if work is None:
                return
            inode, notes = work
            if notes.content:
                self._tell(self._kernel.forget_content, inode)
            elif notes.attributes:
                self._tell(self._kernel.forget_attributes, inode)
            for name in notes.names:
                self._tell(self._kernel.forget_entry, inode, name)
            with self._changed:
                self._give_back(inode)

    def _tell(self, call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        if not self._armed:
            return
        try:
            call(*args, **kwargs)
        except FileNotFoundError:
            pass  # the kernel does not know it: nothing to forget
        except OSError as error:
            _LOG.warning("the kernel refused to forget: %s", error)
