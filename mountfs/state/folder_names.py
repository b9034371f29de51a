"""Names are durable apart from files: fsync(2) of a file does nothing for its entry in the folder.

"Calling fsync() does not necessarily ensure that the entry in the directory containing the file has
also reached disk" (fsync(2)). Most file systems of Linux do more, and none has to.
"""

import os
from pathlib import Path


def make_folder(path: Path) -> None:
    """Have a folder `path` (0700 if it is new), and those above it. Durable on return.

    Raises OSError.
    """
    above = [folder.parent for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Also when it was there: whoever made it may have been killed before this.
    for folder in above or [path.parent]:
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Put the names in `folder` on the platter. Blocks. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
