"""The client's block cache: keys and bytes in, bytes out, synchronous.

Knows no trio, no network and no FUSE, and imports nothing of mountfs or the server.

    contract.py     what a cache promises; the values it speaks in
    block_cache.py  on disk: who may do what at the same time
    memory.py       in memory, for tests of others
    reader.py, writer.py, evictor.py, upkeep.py    what block_cache.py does
    eviction.py     which values leave, and how large the cache may be        pure
    map_size.py     how large the database file may grow                      pure
    sealing.py      frames and pieces of AES-256-GCM                          pure
    rows.py         bytes of keys and rows                                    pure
    ledger.py       what one transaction may do to the tables
    store.py, resident.py                    the door to LMDB, and to its map
    keyring.py, views.py                     the keys of the views
    opening.py, marks.py, boot.py            lock, clean mark, what may be trusted
    holds.py, recency.py, condition.py       what is only in memory
    check.py        whether the tables keep their invariants
    inspection.py, repair.py    what is wrong with a cache that is closed; and without it
    errors.py       what can go wrong

Invariants: what comes out is what went in, or nothing. Never larger than its limit. What is pinned
or held does not leave. It holds nothing that the server does not have, so losing it loses nothing.

On disk, in the folder given: see opening.py. Pages read through LMDB's map count in the resident
memory of the process as shared file pages (RssFile), though they are the kernel's page cache:
resident.py keeps that to some 50 MiB.
"""

from cache.block_cache import BlockCache
from cache.contract import CacheStats, ChunkCache, Opening, UpkeepReport
from cache.errors import CacheCannotOpen, CacheError, CacheInUse, CacheUnusable, KeyNotDestroyed
from cache.inspection import CacheInspection, inspect_cache
from cache.memory import MemoryCache
from cache.repair import repair_cache

__all__ = [
    "BlockCache",
    "CacheCannotOpen",
    "CacheError",
    "CacheInUse",
    "CacheInspection",
    "CacheStats",
    "CacheUnusable",
    "ChunkCache",
    "KeyNotDestroyed",
    "MemoryCache",
    "Opening",
    "UpkeepReport",
    "inspect_cache",
    "repair_cache",
]
