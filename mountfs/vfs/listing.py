"""readdir(3) over a folder that changes meanwhile.

A handle numbers the names as it first sees them and keeps them: a position stays valid, no name
comes twice, and a name that stays is listed. From position 0 (rewinddir, or seekdir to the
beginning) it looks for names that are new and puts them behind those it knows.
"""

from collections.abc import Iterator
from typing import Final

from mountfs.state.tree import LocalTree

FORGOTTEN_NAMES_MIN: Final = 4096
"""So many names that are gone are kept for their positions, and as many as are there."""


class Listing:
    """One open folder."""

    __slots__ = ("_is_complete", "_known", "_names", "_node_id", "_source", "_tree")

    def __init__(self, tree: LocalTree, node_id: int) -> None:
        self._tree = tree
        self._node_id = node_id
        self._names: list[bytes] = []
        self._known: set[bytes] = set()
        """The names of a listing before this one; empty in the first."""
        self._source: Iterator[tuple[bytes, int]] = iter(())
        self._restart()

    def _restart(self) -> None:
        gone_count = sum(1 for name in self._names if not self._leads_to(name))
        if gone_count > max(FORGOTTEN_NAMES_MIN, len(self._names) // 2):
            self._names = []  # POSIX lets a rewind make positions void
        self._known = set(self._names)
        self._source = self._tree.children(self._node_id)
        self._is_complete = False

    def _leads_to(self, name: bytes) -> int:
        return self._tree.child(self._node_id, name)

    def entries(self, position: int) -> Iterator[tuple[bytes, int, int]]:
        """Yield (name, node, next position) behind `position`; what is gone by now is left out."""
        if position == 0 and self._names:
            self._restart()
        while position < len(self._names) or self._find_next():
            name = self._names[position]
            position += 1
            node_id = self._leads_to(name)
            if node_id:
                yield name, node_id, position

    def _find_next(self) -> bool:
        """Number one more name; false when there is none."""
        while not self._is_complete:
            following = next(self._source, None)
            if following is None:
                self._is_complete = True
            elif following[0] not in self._known:
                self._names.append(following[0])
                return True
        return False
