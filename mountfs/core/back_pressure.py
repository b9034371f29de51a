"""How long a write is kept, so that the disk's share for what is not sent yet is not suddenly full.

Online, what is written faster than it can be sent is slowed down before the share is used up, and
a program that writes for long comes down to the pace of the link. Offline nothing is sent, waiting
would help nobody, and the write beyond the share fails.
"""

from typing import Final

DEFAULT_STAGING_LIMIT_BYTES: Final = 20 << 30
PRESSURE_FROM: Final = 0.75
"""Of the share: below it nobody is kept."""
LONGEST_S: Final = 2.0
"""At the end of the share. A reply has its own deadline, which is far beyond."""


def pause_s(waiting_bytes: int, limit_bytes: int) -> float:
    """Return how long to keep a write when so many bytes wait for the server: linear. Pure."""
    begins_at = PRESSURE_FROM * limit_bytes
    if waiting_bytes <= begins_at:
        return 0.0
    return LONGEST_S * min((waiting_bytes - begins_at) / (limit_bytes - begins_at), 1.0)
