"""Tells waiting polls, inside one process, that a drive moved.

A watcher registers first and looks at the drives' heads second; whatever is published after the
registration sets its event, so no wake-up is lost. Hints carry no truth: a watcher that is woken
looks again.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import anyio

from backend_server.protocol.identity import DriveId, Sequence

WATCHERS_MAX: Final = 20_000


class HubFull(Exception):
    """More watchers than the hub may hold."""


class Watch:
    """One poll's registration. `wait` returns at once if anything moved since it was made."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    async def wait(self) -> None:
        """Return once a watched drive moved, or the hub closed. Checkpoint."""
        await self._event.wait()

    def wake(self) -> None:
        self._event.set()


class ChangeHub:
    """Hints of one process. All calls on the event loop's thread; none of them waits."""

    def __init__(self, *, watchers_max: int = WATCHERS_MAX) -> None:
        self._watchers_max = watchers_max
        self._watcher_count = 0
        self._watches: dict[DriveId, set[Watch]] = {}
        self.is_closed = False

    @property
    def watcher_count(self) -> int:
        return self._watcher_count

    def publish(self, drive_id: DriveId, sequence: Sequence) -> None:
        """Wake whoever watches the drive: its head is at least `sequence`."""
        for watch in self._watches.get(drive_id, ()):
            watch.wake()

    @contextmanager
    def watch(self, drive_ids: Iterable[DriveId]) -> Iterator[Watch]:
        """Register for hints of `drive_ids` while the block runs.

        Raises:
            HubFull: As many watch already as may.
        """
        if self._watcher_count >= self._watchers_max:
            raise HubFull
        watch = Watch()
        watched = frozenset(drive_ids)
        self._watcher_count += 1
        for drive_id in watched:
            self._watches.setdefault(drive_id, set()).add(watch)
        if self.is_closed:
            watch.wake()
        try:
            yield watch
        finally:
            self._watcher_count -= 1
            for drive_id in watched:
                watches = self._watches[drive_id]
                watches.discard(watch)
                if not watches:
                    del self._watches[drive_id]

    def close(self) -> None:
        """Wake every watcher, now and from now on: the server is going down."""
        self.is_closed = True
        for watches in self._watches.values():
            for watch in watches:
                watch.wake()
