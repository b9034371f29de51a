"""Tables of nodes and of dentries, a bounded number of rows at a time.

A slice is named by bounds: rows may come and go in it while it is worked on, and behind it.
"""

from collections.abc import Iterator
from typing import Final

from mountfs.state.database import Database
from mountfs.state.mirror import Key

SLICE_OF_NAMES: Final = "(parent, name) > (?,?) AND (parent, name) <= (?,?)"
"""What is in a slice of names; its parameters are the two keys."""

_BEFORE_ALL: Final[Key] = (-(1 << 63), b"")


class Slices:
    def __init__(self, database: Database, rows_at_once: int) -> None:
        self._database = database
        self._rows_at_once = rows_at_once

    def of_nodes(self, table: str) -> Iterator[tuple[int, int]]:
        """Yield (after, last) of some node ids of a table after the other."""
        after = _BEFORE_ALL[0]
        while True:
            (last,) = self._database.execute(
                "SELECT max(node_id) FROM "
                f"(SELECT node_id FROM {table} WHERE node_id > ? ORDER BY node_id LIMIT ?)",
                (after, self._rows_at_once),
            ).fetchone()
            if last is None:
                return
            yield after, last
            after = last

    def of_names(self, table: str) -> Iterator[tuple[Key, Key]]:
        """Yield (after, last) of some keys of a table after the other."""
        after = _BEFORE_ALL
        while True:
            rows = self._database.execute(
                f"SELECT parent, name FROM {table} WHERE (parent, name) > (?,?) "
                "ORDER BY parent, name LIMIT ?",
                (*after, self._rows_at_once),
            ).fetchall()
            if not rows:
                return
            yield after, rows[-1]
            after = rows[-1]
