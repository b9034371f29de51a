"""Which chunks of a drive the server said it lost: what it must not be thought to have.

A hint: it may be old, and then a chunk is announced that the server has again, which costs a line.
"""

from collections.abc import Collection, Iterable
from typing import Final

from backend_server.protocol.identity import ChunkId

KNOWN_MAX: Final = 100_000
"""Of more, the rest is not remembered: sending those waits for the next answer of the server."""


class LostChunks:
    """Of one drive. Plain memory."""

    def __init__(self) -> None:
        self._lost: set[ChunkId] = set()

    def replace(self, lost: Iterable[ChunkId]) -> None:
        """Remember these, and no others."""
        self._lost = set(lost)

    def found(self, chunk_ids: Iterable[ChunkId]) -> None:
        """These are on the server again."""
        self._lost.difference_update(chunk_ids)

    def among(self, chunk_ids: Collection[ChunkId]) -> set[ChunkId]:
        """Return those of `chunk_ids` that are lost."""
        return self._lost.intersection(chunk_ids) if self._lost else set()
