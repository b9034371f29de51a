"""The parts of this package, put together for one daemon."""

import os
from collections.abc import Callable, Mapping

import trio

from backend_server.protocol.account_messages import DriveInfo
from backend_server.protocol.identity import DriveId
from cache import ChunkCache
from mountfs.blocks.fetcher import BlockFetcher
from mountfs.blocks.lost_chunks import LostChunks
from mountfs.blocks.manifests import ManifestCatalog
from mountfs.blocks.older import OlderManifests
from mountfs.blocks.reader import ContentReader
from mountfs.blocks.store import ChunkStore
from mountfs.blocks.uploader import Uploader
from mountfs.blocks.workers import ThreadWorkers, Workers
from mountfs.transport.api import DriveApi

ENCODE_THREADS: int = 2


class Blocks:
    """`catalog`, `reader` and `uploader` over one server and one cache.

    Args:
        drives: What the account may see, by drive id; may grow while this runs.
        workers: Cut, hash and encode; None for threads.
        cache_workers: Write the cache, one call at a time; None for a thread.
    """

    def __init__(
        self,
        api: DriveApi,
        cache: ChunkCache,
        drives: Mapping[DriveId, DriveInfo],
        *,
        workers: Workers | None = None,
        cache_workers: Workers | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        workers = workers or ThreadWorkers(ENCODE_THREADS)
        older = OlderManifests()
        self.store = ChunkStore(cache, workers=cache_workers)
        self.fetcher = BlockFetcher(api, self.store, drives)
        self.catalog = ManifestCatalog(api, self.store, older, workers)
        self.reader = ContentReader(self.store, self.fetcher, older)
        self.lost = LostChunks()
        self.uploader = Uploader(
            api, self.store, self.reader, self.catalog, drives, workers, random_bytes, self.lost
        )

    def set_online(self, is_online: bool) -> None:
        """Tell whether the server is known to be out of reach."""
        self.catalog.set_online(is_online)
        self.fetcher.set_online(is_online)

    async def run(self) -> None:
        """Do the background work of all parts, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.store.run)
            nursery.start_soon(self.fetcher.run)
            nursery.start_soon(self.catalog.run)
