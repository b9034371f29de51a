"""Time since a start, in seconds, from the clock that never goes back."""

import time


class Stopwatch:
    """Runs from its making on."""

    def __init__(self) -> None:
        self._start_s = time.perf_counter()

    def read_s(self) -> float:
        return time.perf_counter() - self._start_s
