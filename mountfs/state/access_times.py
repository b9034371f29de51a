"""When files were last read, as far as this mount can know it.

Access times belong to a device and never travel. What a program set (utimensat(2)) has a row; what
reading made of it, and the time of creation, are kept in memory and forgotten by a restart: a
file that nothing is known of was last read when it was last written.
"""

from typing import Final

from mountfs.state.database import Database

REMEMBERED_MAX: Final = 65_536
DAY_NS: Final = 86_400 * 10**9


def is_due(atime_ns: int, mtime_ns: int, ctime_ns: int, now_ns: int) -> bool:
    """Return whether a read now moves the access time. Pure.

    The rule of `relatime` (mount(8)): the first read after a change, and one a day.
    """
    return atime_ns <= max(mtime_ns, ctime_ns) or now_ns - atime_ns >= DAY_NS


class AccessTimes:
    """By inode. One thread: the event loop's. Memory holds at most REMEMBERED_MAX of each kind."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[int, int] = {}
        self._rows: dict[int, int | None] = {}
        """Rows that were asked for; None: there is none."""
        # Rows of what other devices removed meanwhile.
        database.execute(
            "DELETE FROM access_time WHERE NOT EXISTS "
            "(SELECT 1 FROM node WHERE node_id = inode) AND NOT EXISTS "
            "(SELECT 1 FROM next_node WHERE node_id = inode) AND NOT EXISTS "
            "(SELECT 1 FROM local_node WHERE node_id = inode) AND NOT EXISTS "
            "(SELECT 1 FROM inode_alias WHERE inode_alias.inode = access_time.inode)"
        )
        self._has_rows = False
        self.load()

    def load(self) -> None:
        """Take the rows as they are; what memory had of them is forgotten."""
        self._rows.clear()
        found = self._database.execute("SELECT 1 FROM access_time LIMIT 1").fetchone()
        self._has_rows = found is not None

    def of(self, inode: int, otherwise_ns: int) -> int:
        """Return the access time, `otherwise_ns` where none is known."""
        known = self._known.get(inode)
        if known is not None:
            return known
        if not self._has_rows:
            return otherwise_ns
        stored = self._rows[inode] if inode in self._rows else self._load(inode)
        return otherwise_ns if stored is None else stored

    def read(self, inode: int, at_ns: int) -> None:
        """Note a read, or the creation of a file."""
        if len(self._known) >= REMEMBERED_MAX:
            del self._known[next(iter(self._known))]
        self._known[inode] = at_ns

    def set(self, inode: int, atime_ns: int) -> None:
        """Keep what a program set. Joins the caller's transaction."""
        self._known.pop(inode, None)
        self._database.execute(
            "INSERT OR REPLACE INTO access_time (inode, atime_ns) VALUES (?,?)", (inode, atime_ns)
        )
        self._has_rows = True
        self._remember(inode, atime_ns)

    def forget(self, inode: int) -> None:
        """The file is gone for good."""
        self._known.pop(inode, None)
        if self._has_rows:
            self._rows.pop(inode, None)
            self._database.execute("DELETE FROM access_time WHERE inode = ?", (inode,))

    def _load(self, inode: int) -> int | None:
        row = self._database.execute(
            "SELECT atime_ns FROM access_time WHERE inode = ?", (inode,)
        ).fetchone()
        return self._remember(inode, None if row is None else int(row[0]))

    def _remember(self, inode: int, atime_ns: int | None) -> int | None:
        if len(self._rows) >= REMEMBERED_MAX:
            self._rows.clear()
        self._rows[inode] = atime_ns
        return atime_ns
