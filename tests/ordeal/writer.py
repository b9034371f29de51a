"""A program at work on one mount. It notes what it was told is written."""

import errno
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

SHARED: Final = "shared"
PAUSE_S_MAX: Final = 0.1
_AFTER_REFUSAL_S: Final = 0.2
_BULK_BYTES: Final = 20_000


class Writer(threading.Thread):
    """Works in the folders `name` and SHARED of `root` until told to stop.

    Calls that fail are counted by their error and not repeated; calls that returned have left
    their token in `tokens`.
    """

    def __init__(self, root: Path, name: str, seed: int) -> None:
        super().__init__(name=f"writer {name}", daemon=True)
        self.tokens: list[bytes] = []
        self.refusals: Counter[str] = Counter()
        self.slowest_s = 0.0
        self._own, self._shared = root / name, root / SHARED
        self._name = name
        self._chance = random.Random(seed)
        self._stopped = threading.Event()
        self._kinds: list[Callable[[bytes], None]] = [
            *(self._make_new, self._save, self._append),
            *(self._append_shared, self._append_bulk),
        ]

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def run(self) -> None:
        number = 0
        while not self._stopped.is_set():
            number += 1
            token = f"<{self._name}{number}>".encode()
            began_s = time.monotonic()
            try:
                self._chance.choice(self._kinds)(token)
                self.tokens.append(token)
                pause_s = self._chance.uniform(0, PAUSE_S_MAX)
            except OSError as error:
                self.refusals[errno.errorcode.get(error.errno or 0, str(error))] += 1
                pause_s = _AFTER_REFUSAL_S
            self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
            self._stopped.wait(pause_s)

    def _make_new(self, token: bytes) -> None:
        (self._own / f"new {token.decode().strip('<>')}").write_bytes(token)

    def _save(self, token: bytes) -> None:
        path = self._own / f"letter {self._chance.randrange(5)}"
        self._own.stat()  # or a mount that is away for a moment would look like a new letter
        before = path.read_bytes() if path.exists() else b""
        beside = path.with_suffix(".tmp")
        with beside.open("wb") as file:
            file.write(before + token)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)

    def _append(self, token: bytes) -> None:
        _append(self._own / f"log {self._chance.randrange(3)}", token)

    def _append_shared(self, token: bytes) -> None:
        _append(self._shared / f"both {self._chance.randrange(4)}", token)

    def _append_bulk(self, token: bytes) -> None:
        data = token + self._chance.randbytes(_BULK_BYTES)
        _append(self._own / f"bulk {self._chance.randrange(3)}", data)


def _append(path: Path, data: bytes) -> None:
    # Unbuffered: what was not written is not said to be.
    with path.open("ab", buffering=0) as file:
        written = file.write(data)
    if written != len(data):
        raise OSError(errno.EIO, "cut short")
