"""What this device had cached of a file comes again, at once, when another device changed it.

So a file that was at hand stays at hand, also when the link goes away right after. Only the parts
that take the place of cached ones come, as deltas against those, behind what programs wait for;
of what was appended, as much as was cached.
"""

import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import trio

from backend_server.protocol.identity import DriveId, ManifestId
from mountfs.app.content_access import load_source
from mountfs.blocks.manifests import ManifestCatalog
from mountfs.blocks.reader import ContentReader
from mountfs.core.content import ContentSource, Manifest
from mountfs.errors import MountError, Unavailable
from mountfs.state.overlay import Source

_LOG = logging.getLogger(__name__)

WAITING_MAX: Final = 4096
"""Files that wait to be looked at; of more the oldest are left for the next read to fetch."""
_TOGETHER_MAX: Final = 64
RETRY_S: Final = 30.0
"""Until what could not be fetched is tried again, also when nobody says that the server is back."""


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

    def try_again(self) -> None:
        """The server can be reached again. Never blocks."""
        self._changed.set()

    async def run(self) -> None:
        """Fetch until cancelled."""
        while True:
            with trio.move_on_after(RETRY_S if self._replaced else math.inf):
                await self._changed.wait()
            self._changed = trio.Event()
            is_reachable = True
            while self._replaced and is_reachable:
                is_reachable = await self._fetch_some()

    async def _fetch_some(self) -> bool:
        """Returns whether the server could be reached; what it was away for waits on."""
        count = min(len(self._replaced), _TOGETHER_MAX)
        batch = dict(self._replaced.popitem(last=False) for _ in range(count))
        found: dict[int, _Fresh | MountError] = {}
        async with trio.open_nursery() as nursery:  # so that manifests come together
            for node_id, old in batch.items():
                nursery.start_soon(self._look, node_id, old, found)
        fresh = {node: one for node, one in found.items() if isinstance(one, _Fresh)}
        errors = {node: one for node, one in found.items() if isinstance(one, MountError)}
        try:
            await self._reader.prefetch_replaced(list(fresh.values()))
        except MountError as error:
            errors.update(dict.fromkeys(fresh, error))
        if errors:
            # Whoever reads one of them next will be told.
            _LOG.debug("%d that changed elsewhere are not fetched", len(errors))
        away = [node for node, error in errors.items() if isinstance(error, Unavailable)]
        for node_id in away:
            # What is cached is of the older one of two.
            self._replaced[node_id] = batch[node_id]
        return not away

    async def _look(self, node_id: int, old: Source, found: dict[int, _Fresh | MountError]) -> None:
        """Put into `found` what took the place of `old`, if part of that is on this device."""
        now = self._current(node_id)
        if now is None:
            return
        try:
            older = self._catalog.get(self._drive_id, ManifestId(old.manifest_id), old.entries)
            if older is None or not self._reader.holds_part(self._drive_id, older):
                return
            source = await load_source(self._drive_id, self._catalog, now)
        except MountError as error:
            found[node_id] = error
            return
        found[node_id] = _Fresh(source, older)
