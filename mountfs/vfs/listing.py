"""readdir(3) over a folder that changes meanwhile.

A handle numbers the names as it first sees them and keeps them: a position stays valid, no name
comes twice, and a name that stays is listed. `rewinddir` (position 0) starts afresh.
"""

from collections.abc import Iterator

from mountfs.state.tree import LocalTree


class Listing:
    """One open folder."""

    __slots__ = ("_is_complete", "_names", "_node_id", "_source", "_tree")

    def __init__(self, tree: LocalTree, node_id: int) -> None:
        self._tree = tree
        self._node_id = node_id
        self._names: list[bytes] = []
        self._source: Iterator[tuple[bytes, int]] = iter(())
        self._is_complete = False
        self._restart()

    def _restart(self) -> None:
        self._names = []
        self._source = self._tree.children(self._node_id)
        self._is_complete = False

    def entries(self, position: int) -> Iterator[tuple[bytes, int, int]]:
        """Yield (name, node, next position) behind `position`; what is gone by now is left out."""
        if position == 0 and self._names:
            self._restart()
        while True:
            if position >= len(self._names):
                if self._is_complete:
                    return
                following = next(self._source, None)
                if following is None:
                    self._is_complete = True
                    return
                self._names.append(following[0])
            name = self._names[position]
            position += 1
            node_id = self._tree.child(self._node_id, name)
            if node_id:
                yield name, node_id, position
