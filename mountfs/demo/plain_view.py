"""The live view where there is no terminal: a line for each thing that happens. Pure."""

import time
from collections.abc import Iterator

from mountfs.app.status import MountStatus, Transfers
from mountfs.demo.figures import NewHappenings, format_bytes, printable, saved_bytes


class PlainView:
    """Turns successive answers of the mount into lines, and repeats nothing."""

    def __init__(self) -> None:
        self._happenings = NewHappenings()
        self._was_online: bool | None = None
        self._moved = Transfers()

    def lines(self, status: MountStatus | None) -> Iterator[str]:
        """Yield what is new since the last call."""
        if status is None:
            yield "the drive is not mounted any more"
            return
        if status.online != self._was_online:
            yield "online" if status.online else "offline: work goes on, changes wait here"
            self._was_online = status.online
        for happening in self._happenings.of(status):
            at = time.strftime("%H:%M:%S", time.localtime(happening.at))
            yield f"{at}  {happening.what}  {printable(happening.path)}"
        moved = status.transfers
        has_moved = (moved.bytes_up, moved.bytes_down) != (
            self._moved.bytes_up,
            self._moved.bytes_down,
        )
        # Once a burst is over, not at each step of it.
        if has_moved and status.queue.is_empty:
            yield (
                f"sent {format_bytes(moved.bytes_up)}, received {format_bytes(moved.bytes_down)}, "
                f"saved {format_bytes(saved_bytes(status))} "
                f"(delta {format_bytes(moved.saved_by_delta_bytes)}, "
                f"dedup {format_bytes(moved.saved_by_dedup_bytes)}, "
                f"compression {format_bytes(moved.saved_by_compression_bytes)}); "
                "the server has everything"
            )
            self._moved = moved
