"""Programs at work on a mount, all at once, and how long each system call took.

    calls_in_time.py FOLDER CACHED      then, on stdin, a line for each round: a file to read,
                                        which is not cached, and a number for names

Answers each line with one of JSON: a list of [call, seconds, name of the errno or ""]. Each kind of
call has a thread of its own, so that one which waits holds up no other. A process of its own, for
what hangs in the kernel cannot be ended from inside.
"""

import errno
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
Result = tuple[str, float, str]


class Calls:
    """The calls of one round, timed one by one."""

    def __init__(self) -> None:
        self.results: list[Result] = []

    def timed(self, name: str, call: Callable[[], T]) -> T | None:
        """Make a call; None if it failed."""
        began_s = time.monotonic()
        failed, answer = "", None
        try:
            answer = call()
        except OSError as error:
            failed = errno.errorcode.get(error.errno or 0, repr(error))
        self.results.append((name, time.monotonic() - began_s, failed))
        return answer

    def look(self, folder: Path, cached: Path) -> None:
        self.timed("stat", folder.stat)
        self.timed("statvfs", lambda: os.statvfs(folder))
        self.timed("list", lambda: list(folder.iterdir()))
        self.timed("stat of no name", lambda: (folder / "no such name").exists())
        for path in folder.iterdir():
            self.timed("stat", partial(_lstat, path))
        self._read(cached, "cached")

    def read_uncached(self, path: Path) -> None:
        self._read(path, "uncached")

    def write(self, folder: Path, number: str) -> None:
        path, moved = folder / f"made {number}", folder / f"moved {number}"
        handle = self.timed("create", lambda: os.open(path, os.O_RDWR | os.O_CREAT, 0o644))
        assert handle is not None, "a file can always be made"
        self.timed("write", lambda: os.write(handle, number.encode() * 1000))
        self.timed("write", lambda: os.pwrite(handle, os.urandom(200_000), 100_000))
        self.timed("fsync", lambda: os.fsync(handle))
        self.timed("read of what was written", lambda: os.pread(handle, 4096, 0))
        self.timed("ftruncate", lambda: os.ftruncate(handle, 150_000))
        self.timed("close", lambda: os.close(handle))
        self.timed("rename", lambda: path.rename(moved))
        self.timed("chmod", lambda: moved.chmod(0o600))
        self.timed("link", lambda: path.hardlink_to(moved))
        self.timed("unlink", path.unlink)
        self.timed("mkdir", lambda: (folder / f"folder {number}").mkdir())
        self.timed("rmdir", lambda: (folder / f"folder {number}").rmdir())

    def append(self, cached: Path) -> None:
        """Into a file whose content is on the server: what it was is needed to read, not here."""
        handle = self.timed("open", lambda: os.open(cached, os.O_WRONLY | os.O_APPEND))
        if handle is not None:
            self.timed("append", lambda: os.write(handle, b"more"))
            self.timed("close", lambda: os.close(handle))

    def _read(self, path: Path, how: str) -> None:
        handle = self.timed("open", lambda: os.open(path, os.O_RDONLY))
        if handle is not None:
            self.timed(f"read, {how}", lambda: os.read(handle, 1 << 20))
            self.timed("close", lambda: os.close(handle))


def _lstat(path: Path) -> None:
    """lstat(2) of a name that another thread may have changed since it was listed."""
    with suppress(FileNotFoundError):
        path.lstat()


def go_round(folder: Path, cached: Path, uncached: Path, number: str) -> list[Result]:
    """Make all calls, and return when the last has."""
    calls = Calls()
    threads = [
        threading.Thread(target=target, args=args)
        for target, args in (
            (calls.look, (folder, cached)),
            (calls.read_uncached, (uncached,)),
            (calls.write, (folder, number)),
            (calls.append, (folder / "appended",)),
        )
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return calls.results


def main() -> None:
    folder, cached = Path(sys.argv[1]), Path(sys.argv[2])
    for line in sys.stdin:
        number, _, uncached = line.rstrip("\n").partition(" ")
        print(json.dumps(go_round(folder, cached, Path(uncached), number)), flush=True)


if __name__ == "__main__":
    main()
