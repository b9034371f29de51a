"""What this device had cached of a file comes again, at once, when another device changed it.

So a file that was at hand stays at hand, also when the link goes away right after. Only the parts
that take the place of cached ones come, as deltas against those, behind what programs wait for.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import trio

from backend_server.protocol.identity import DriveId, ManifestId
from mountfs.app.content_access import load_source
from mountfs.blocks.manifests import ManifestCatalog
from mountfs.blocks.reader import ContentReader
from mountfs.core.content import ContentSource, Manifest
from mountfs.errors import MountError
from mountfs.state.overlay import Source

_LOG = logging.getLogger(__name__)

WAITING_MAX: Final = 4096
"""Files that wait to be looked at; of more the oldest are left for the next read to fetch."""
_TOGETHER_MAX: Final = 256


class _Fresh(NamedTuple):
    source: ContentSource
    older: Manifest


class Refetch:
    """One drive's. `run` must run in a task.

    Args:
        current: Returns a node's committed content now; None: it has none.
    """

    def __init__(
        self,
        drive_id: DriveId,
        reader: ContentReader,
        catalog: ManifestCatalog,
        current: Callable[[int], Source | None],
    ) -> None:
        self._drive_id = drive_id
        self._reader = reader
        self._catalog = catalog
        self._current = current
        self._replaced: OrderedDict[int, Source] = OrderedDict()
        self._changed = trio.Event()

    def note(self, replaced: Mapping[int, Source]) -> None:
        """These nodes' contents were `replaced`. Never blocks."""
        for node_id, old in replaced.items():
            # Of several changes in a row the first had what is cached.
            self._replaced.setdefault(node_id, old)
        while len(self._replaced) > WAITING_MAX:
            self._replaced.popitem(last=False)
        self._changed.set()

    async def run(self) -> None:
        """Fetch until cancelled."""
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            while self._replaced:
                count = min(len(self._replaced), _TOGETHER_MAX)
                await self._fetch([self._replaced.popitem(last=False) for _ in range(count)])

    async def _fetch(self, replaced: list[tuple[int, Source]]) -> None:
        try:
            found = [await self._fresh(node_id, old) for node_id, old in replaced]
            await self._reader.prefetch_replaced([fresh for fresh in found if fresh is not None])
        except MountError as error:
            # Whoever reads one of them next will be told.
            _LOG.debug("what changed elsewhere is not fetched now: %s", error)

    async def _fresh(self, node_id: int, old: Source) -> _Fresh | None:
        """Return what took the place of `old`, if part of that is on this device."""
        now = self._current(node_id)
        if now is None:
            return None
        older = self._catalog.get(self._drive_id, ManifestId(old.manifest_id), old.entries)
        if older is None or not self._reader.holds_part(self._drive_id, older):
            return None
        return _Fresh(await load_source(self._drive_id, self._catalog, now), older)
