"""What is being read right now, and what is leaving right now."""

import threading
from collections.abc import Iterable
from typing import TypeAlias

Held: TypeAlias = tuple[str, bytes]
"""View and chunk id."""


class Holds:
    """Counts readers by chunk. Any thread; never waits for disk."""

    def __init__(self) -> None:
        self._counts: dict[Held, int] = {}
        self._lock = threading.Lock()

    def hold(self, view: str, chunk_ids: Iterable[bytes]) -> None:
        """Count one more reader of each chunk."""
        with self._lock:
            for chunk_id in chunk_ids:
                held = (view, chunk_id)
                self._counts[held] = self._counts.get(held, 0) + 1

    def release(self, view: str, chunk_ids: Iterable[bytes]) -> None:
        """Count one reader less of each chunk."""
        with self._lock:
            for chunk_id in chunk_ids:
                held = (view, chunk_id)
                count = self._counts.get(held, 0)
                assert count > 0, "released more often than held"
                if count == 1:
                    del self._counts[held]
                else:
                    self._counts[held] = count - 1

    def __contains__(self, held: Held) -> bool:
        return held in self._counts
