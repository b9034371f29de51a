"""What says of a node that it is a conflict copy: it travels with the node to every device."""

from typing import NamedTuple


class ConflictMark(NamedTuple):
    """Of which node it is a copy (0: it is none), which device made it, and when (Unix ns)."""

    original: int = 0
    device: str = ""
    at_ns: int = 0

    def __bool__(self) -> bool:
        return self.original != 0


NO_CONFLICT = ConflictMark()
