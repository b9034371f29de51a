"""How long a program waits for a mount, at worst, while something else goes on."""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_PAUSE_S: Final = 0.002
"""Between rounds: the watch is to see the daemon wait, not to be what it waits for."""


class StallWatch:
    """Calls the mount in a loop, from threads, inside its `with`: each call is one that the kernel
    cannot answer by itself, and none of them needs the server."""

    def __init__(self, root: Path, folder: Path) -> None:
        """`folder`: any, in which names that nobody asked for yet are looked up."""
        self._root = root
        self._folder = folder
        self._is_over = threading.Event()
        self.longest_s: dict[str, float] = {}
        self.calls_count = 0
        self.failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._watch, args=each, daemon=True)
            for each in (("stat", self._stat), ("statfs", self._statfs), ("write", self._write))
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        for path in self._root.glob("scratch *"):
            path.unlink()
        assert self.failure is None, f"a call failed: {self.failure!r}"

    def _watch(self, what: str, call: Callable[[int], None]) -> None:
        self.longest_s[what] = 0.0
        try:
            for number in count():
                began_s = time.monotonic()
                call(number)
                waited_s = time.monotonic() - began_s
                self.longest_s[what] = max(self.longest_s[what], waited_s)
                self.calls_count += 1
                if self._is_over.wait(_PAUSE_S):
                    return
        except OSError as error:
            self.failure = error

    def _stat(self, number: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self._folder / f"document {7 * number:06d}.txt").stat()

    def _statfs(self, number: int) -> None:
        os.statvfs(self._root)

    def _write(self, number: int) -> None:
        path = self._root / f"scratch {number % 50}"
        path.write_bytes(b"%d" % number * 500)
        assert path.read_bytes() == b"%d" % number * 500
