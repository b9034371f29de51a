"""Only one process serves a data folder: a lock that the kernel lets go of when it dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ServedAlready(Exception):
    """Another process holds the lock."""


@contextmanager
def serve_lock(path: Path) -> Iterator[None]:
    """Hold the lock while the block runs.

    Raises:
        ServedAlready: Somebody has it.
        OSError: The file cannot be made.
    """
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServedAlready(str(path)) from None
        yield
    finally:
        os.close(fd)
