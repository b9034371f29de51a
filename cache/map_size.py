"""How large the database file may grow. Pure.

LMDB's map is the bound of its file. It costs address space only, so it begins large; above the
limit of the values stands what churn leaves between them (measured: 4 % after eight turnovers of
mixed sizes) and the copies that a transaction makes. A map can be full of free pages that do not
lie together: then it grows a little, and once that is used up, values leave instead.
"""

from typing import Final

MAP_SLACK_BYTES: Final = 64 * 1024 * 1024

_EVICTION_STEP_BYTES: Final = 16 * 1024 * 1024
# What one eviction writes before it frees anything; a batch copies some thousand pages at most.
assert _EVICTION_STEP_BYTES < MAP_SLACK_BYTES


def map_bytes_for(limit_bytes: int, *, file_bytes: int = 0) -> int:
    """Return the size to open a map with: for `limit_bytes` of values, in a file of `file_bytes`.

    A file from before a lower limit keeps room for the transactions that empty it.
    """
    return max(limit_bytes + limit_bytes // 8, file_bytes) + MAP_SLACK_BYTES


def map_bytes_max_for(limit_bytes: int) -> int:
    """Return how large a map may become for values; a larger file is worth compacting."""
    return limit_bytes + limit_bytes // 2 + MAP_SLACK_BYTES


def larger_map_bytes(map_bytes: int, *, limit_bytes: int) -> int:
    """Return the size to try next when values found the map full; `map_bytes` if none is."""
    if map_bytes < map_bytes_for(limit_bytes):
        return map_bytes_for(limit_bytes)
    return max(map_bytes, min(map_bytes_max_for(limit_bytes), map_bytes + map_bytes // 8))


def map_bytes_to_evict(map_bytes: int, *, limit_bytes: int, file_bytes: int) -> int:
    """Return the size to try next when even an eviction found the map full.

    `map_bytes` if there is none: then something other than the size is wrong.
    """
    bound = max(map_bytes_max_for(limit_bytes), file_bytes) + MAP_SLACK_BYTES
    return max(map_bytes, min(bound, map_bytes + _EVICTION_STEP_BYTES))


assert map_bytes_for(0) <= map_bytes_max_for(0)
