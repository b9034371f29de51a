"""Makes a cache that nobody has open what it should be: smaller. What leaves is fetched anew."""

from pathlib import Path

from cache.block_cache import BlockCache
from cache.contract import Opening
from cache.inspection import CacheInspection


def repair_cache(
    folder: Path, inspection: CacheInspection, *, device_key: bytes, limit_bytes: int
) -> bool:
    """Drop what `inspection` found in the cache in `folder`; whether the disk let us.

    Raises:
        CacheCannotOpen: The folder cannot be used.
    """
    cache = BlockCache.open(folder, device_key=device_key, limit_bytes=limit_bytes)
    try:
        is_empty = cache.opening.was_emptied or cache.opening is Opening.NEW
        if (inspection.contradictions or inspection.trouble) and not is_empty:
            return cache.start_over()
        return cache.forget_damaged(inspection.damaged) == len(inspection.damaged)
    finally:
        cache.close()
