"""How many names a node has and how many folders a folder holds: st_nlink, remembered.

Counting a folder of thousands, or the names of a file with thousands of links, for each stat(2)
would make the thousandth link a thousand times dearer than the first.
"""

from collections.abc import Callable
from typing import Final

REMEMBERED_MAX: Final = 4096


class LinkCounts:
    """Adjusted by changes that say what they are; anything else makes it forget everything."""

    def __init__(self) -> None:
        self.names: dict[int, int] = {}
        self.subfolders: dict[int, int] = {}

    def clear(self) -> None:
        self.names.clear()
        self.subfolders.clear()

    def names_of(self, node_id: int, count: Callable[[int], int]) -> int:
        return _remembered(self.names, node_id, count)

    def subfolders_of(self, folder: int, count: Callable[[int], int]) -> int:
        return _remembered(self.subfolders, folder, count)

    def names_changed(self, node_id: int, by: int) -> None:
        if node_id in self.names:
            self.names[node_id] += by

    def subfolders_changed(self, folder: int, by: int) -> None:
        if folder in self.subfolders:
            self.subfolders[folder] += by


def _remembered(counts: dict[int, int], key: int, count: Callable[[int], int]) -> int:
    known = counts.get(key)
    if known is None:
        if len(counts) >= REMEMBERED_MAX:
            counts.clear()
        known = counts[key] = count(key)
    return known
