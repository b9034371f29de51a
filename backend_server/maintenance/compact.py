"""Compacts every drive's journal once a day."""

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import structlog

from backend_server.config import COMPACT_EVERY_S
from backend_server.metadata.errors import MetadataError

_log = structlog.get_logger("backend_server.maintenance")

FIRST_AFTER_S: Final = 600.0
"""A server that was just started has more urgent work."""


async def compact_for_ever(
    compact: Callable[[], Awaitable[int]], *, every_s: float = COMPACT_EVERY_S
) -> None:
    """Compact now and then, until cancelled. A failure is logged; the next round tries again."""
    await anyio.sleep(min(FIRST_AFTER_S, every_s))
    while True:
        try:
            gone_count = await compact()
        except MetadataError as error:
            _log.error("compacting failed", error=type(error).__name__, detail=str(error))
        else:
            if gone_count:
                _log.info("compacted journals", rows=gone_count)
        await anyio.sleep(every_s)
