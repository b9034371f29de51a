"""Lets go of what uploads reserve and pin when their lease is over."""

from collections.abc import Awaitable, Callable

import anyio
import structlog

from backend_server.config import REAP_EVERY_S
from backend_server.metadata.errors import MetadataError
from backend_server.protocol.limits import UPLOAD_LEASE_S

_log = structlog.get_logger("backend_server.maintenance")

# A lease that is over must not hold its reservation for much longer.
assert REAP_EVERY_S * 10 <= UPLOAD_LEASE_S


async def reap_for_ever(
    reap_uploads: Callable[[], Awaitable[int]], *, every_s: float = REAP_EVERY_S
) -> None:
    """Reap now and then, until cancelled. A failure is logged; the next round tries again."""
    while True:
        try:
            reaped_count = await reap_uploads()
        except MetadataError as error:
            _log.error("reaping failed", error=type(error).__name__, detail=str(error))
        else:
            if reaped_count:
                _log.info("reaped uploads", count=reaped_count)
        await anyio.sleep(every_s)
