"""Small files of one folder are fetched together.

Reading one small file of a folder mostly means reading its neighbours next. The first read asks
for a window of them in one request; reading on inside the window asks for the next one, so that a
`grep -r` over a slow link waits a few round trips, not one a file.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from backend_server.protocol.limits import INLINE_CONTENT_BYTES_MAX
from mountfs.state.mirror import Mirror
from mountfs.state.overlay import Source
from mountfs.state.records import NodeRecord
from mountfs.state.tree import source_of

WINDOW_FILES: Final = 256
WINDOW_BYTES_MAX: Final = 4 << 20
_FOLDERS_REMEMBERED: Final = 256


class FolderPrefetch:
    """Remembers how far each folder was asked for; asks through `request`, which never blocks."""

    def __init__(self, mirror: Mirror, request: Callable[[Sequence[Source]], None]) -> None:
        self._mirror = mirror
        self._request = request
        self._asked: OrderedDict[int, bytes] = OrderedDict()
        """Folder to the last name asked for."""

    def opened(self, record: NodeRecord) -> None:
        """A file's beginning is being read."""
        if record.size_bytes > INLINE_CONTENT_BYTES_MAX:
            return
        for parent, name in self._mirror.places(record.node_id)[:1]:
            asked = self._asked.get(parent)
            if asked is not None and name <= asked:
                return
            self._ask(parent, name)

    def _ask(self, parent: int, name: bytes) -> None:
        sources: list[Source] = []
        total = 0
        last = name
        for following, record in self._mirror.files_from(parent, name, WINDOW_FILES):
            last = following
            source = source_of(record)
            if source is None or record.size_bytes > INLINE_CONTENT_BYTES_MAX:
                continue
            if total + record.size_bytes > WINDOW_BYTES_MAX:
                break
            total += record.size_bytes
            sources.append(source)
        self._asked[parent] = last
        self._asked.move_to_end(parent)
        if len(self._asked) > _FOLDERS_REMEMBERED:
            self._asked.popitem(last=False)
        if len(sources) > 1:
            self._request(sources)
