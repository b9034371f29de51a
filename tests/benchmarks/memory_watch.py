"""The most memory that a process takes while something is done."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

INTERVAL_S: Final = 0.02


class MemoryWatch:
    """Samples `/proc/PID/status` every INTERVAL_S inside its `with`. In bytes."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.rss_bytes_max = 0
        self.anonymous_bytes_max = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            try:
                self._note(self._status.read_text())
            except OSError:
                return  # it ended; the workload will say so better
            if self._is_over.wait(INTERVAL_S):
                return

    def _note(self, status: str) -> None:
        sizes = {
            name: int(rest.split()[0]) * 1024
            for name, _, rest in (line.partition(":") for line in status.splitlines())
            if name in ("VmRSS", "RssAnon")
        }
        self.rss_bytes_max = max(self.rss_bytes_max, sizes.get("VmRSS", 0))
        self.anonymous_bytes_max = max(self.anonymous_bytes_max, sizes.get("RssAnon", 0))
