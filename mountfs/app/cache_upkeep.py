"""The block cache of a mount: opened with errors for a person, kept in order, closed cleanly."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from cache import BlockCache, CacheCannotOpen
from mountfs.app.device import load_device_key
from mountfs.app.state_folder import StateFolder
from mountfs.errors import SetupError

_LOG = logging.getLogger(__name__)

UPKEEP_EVERY_S: Final = 30.0
CLOSE_TIMEOUT_S: Final = 10.0


@asynccontextmanager
async def open_cache(folder: StateFolder, *, limit_bytes: int) -> AsyncIterator[BlockCache]:
    """The cache of this device, durable and closed at the end.

    Raises:
        SetupError: Its folder cannot be used.
    """
    try:
        cache = BlockCache.open(
            folder.cache, device_key=load_device_key(folder), limit_bytes=limit_bytes
        )
    except CacheCannotOpen as error:
        raise SetupError(
            str(error), remedy=f"change the owner of {error.path}, or choose another --state DIR"
        ) from error
    if cache.opening.was_emptied:
        _LOG.info("the cache starts empty: %s", cache.opening.value)
    try:
        yield cache
    finally:
        with trio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            await trio.to_thread.run_sync(cache.close)


async def keep_cache_in_order(cache: BlockCache) -> None:
    """Evict, write recency and so on, until cancelled."""
    while True:
        await trio.sleep(UPKEEP_EVERY_S)
        report = await trio.to_thread.run_sync(cache.maintain)
        while not report.is_done:
            report = await trio.to_thread.run_sync(cache.maintain)
