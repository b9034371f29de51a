"""The one place where the server reads the time. Everything else is handed a clock."""

import time


def wall_clock_ms() -> int:
    """Return Unix milliseconds."""
    return time.time_ns() // 1_000_000
