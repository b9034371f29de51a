"""Keep the kernel's page cache out of a measurement."""

import os
from collections.abc import Iterable
from pathlib import Path


def drop_pages(paths: Iterable[Path]) -> None:
    """Drop what the kernel holds of these files, of this file system only. Needs no rights.

    What is dirty cannot be dropped, so it is written out first.
    """
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)
