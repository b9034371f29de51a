"""What can go wrong in the cache, by who can do something about it.

    CacheError
    + CacheCannotOpen(path)          the person who runs the program
      - CacheInUse                     another process (or this one) has the folder open
      - CacheUnusable(reason)          the folder cannot be made, read or written
    + KeyNotDestroyed(view)          the person: the disk does not take writes any more
    + StoreError                     never leaves this package: translated to a miss or a count
      - StoreFull                      the map is full: evict and try again
      - DiskFull                       the file system is full: drop the batch, shrink
      - StoreDamaged                   the database contradicts itself: start empty
      - StoreRefused                   anything else; also: closed meanwhile
      - ValueDamaged                   one value is not what was sealed: forget it

Once a cache is open, no method but `drop_view` raises for a full or failing disk, or for damage. A
cache that cannot keep something is slower, never wrong.
"""

from pathlib import Path


class CacheError(Exception):
    """Root of everything this package raises."""


class CacheCannotOpen(CacheError):
    """The cache in `path` cannot be opened."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


class CacheInUse(CacheCannotOpen):
    """Somebody else has the cache folder open. `holder_pid` is 0 if unknown."""

    def __init__(self, path: Path, holder_pid: int) -> None:
        holder = f" by process {holder_pid}" if holder_pid else ""
        super().__init__(path, f"the cache folder {path} is in use{holder}")
        self.holder_pid = holder_pid


class CacheUnusable(CacheCannotOpen):
    """The cache folder cannot be made, read or written; `reason` says why, for a person."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, f"the cache folder {path} cannot be used: {reason}")
        self.reason = reason


class KeyNotDestroyed(CacheError):
    """The key of a dropped view may still be on the disk, wrapped by the device key."""

    def __init__(self, view: str, reason: str) -> None:
        super().__init__(f"the key of {view} could not be destroyed: {reason}")
        self.view = view
        self.reason = reason


class StoreError(CacheError):
    """The database refused. Handled inside the package."""


class StoreFull(StoreError):
    """The map has no room for this transaction; nothing of it was kept."""


class DiskFull(StoreError):
    """The file system has no room for this transaction; nothing of it was kept."""


class StoreDamaged(StoreError):
    """The database file contradicts itself, or can no longer be used."""


class StoreRefused(StoreError):
    """The database would not; nothing was read or kept. No sign of damage."""


class ValueDamaged(CacheError):
    """Stored bytes are not what was sealed under this name."""
