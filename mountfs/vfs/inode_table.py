"""What this mount remembers of the inodes that the kernel knows."""

from mountfs.state.overlay import Overlay
from mountfs.state.records import NodeRecord


class Orphan:
    """A file or folder without a name, alive for those who have it open."""

    __slots__ = ("overlay", "record")

    def __init__(self, record: NodeRecord, overlay: Overlay | None) -> None:
        self.record = record
        self.overlay = overlay


class InodeTable:
    """Lookup counts, open handles, orphans, and whose pages in the kernel are old."""

    def __init__(self) -> None:
        self._lookups: dict[int, int] = {}
        self._handles: dict[int, int] = {}
        self._stale: set[int] = set()
        self.orphans: dict[int, Orphan] = {}

    @property
    def known_count(self) -> int:
        """How many inodes the kernel remembers of this mount, as far as it was told of them."""
        return len(self._lookups)

    def open_inodes(self) -> list[int]:
        return list(self._handles)

    def is_known(self, inode: int) -> bool:
        return inode in self._lookups

    def is_open(self, inode: int) -> bool:
        return inode in self._handles

    def count_lookup(self, inode: int) -> None:
        self._lookups[inode] = self._lookups.get(inode, 0) + 1

    def opened(self, inode: int) -> None:
        self._handles[inode] = self._handles.get(inode, 0) + 1

    def closed(self, inode: int) -> Orphan | None:
        """One handle less. Returns the orphan that nobody can reach any more, to be disposed."""
        count = self._handles[inode] - 1
        if count:
            self._handles[inode] = count
            return None
        del self._handles[inode]
        return self._unreachable(inode)

    def forget(self, inode: int, count: int) -> Orphan | None:
        """The kernel takes back `count` lookups. Returns as `closed`."""
        left = self._lookups.get(inode, 0) - count
        if left > 0:
            self._lookups[inode] = left
            return None
        self._lookups.pop(inode, None)
        self._stale.discard(inode)
        return self._unreachable(inode)

    def take_is_fresh(self, inode: int) -> bool:
        """Whether the kernel's pages of the inode are its content; asked once an open.

        Writes of this mount go through the pages; only content that came from elsewhere differs,
        and opening the file drops its old pages.
        """
        if inode in self._stale:
            self._stale.discard(inode)
            return False
        return True

    def content_changed(self, inode: int) -> None:
        """The kernel's pages of this inode are of an older content."""
        if inode in self._lookups:
            self._stale.add(inode)

    def _unreachable(self, inode: int) -> Orphan | None:
        if inode in self._handles or inode in self._lookups:
            return None
        return self.orphans.pop(inode, None)
