"""Pages of the feed, and the first mirror that is made of them."""

from dataclasses import dataclass, field
from typing import Final, Protocol

from backend_server.protocol.identity import DriveId
from backend_server.protocol.limits import GIB
from backend_server.protocol.tree_messages import ChangesPage, DentryState, NodeState, QuotaState
from mountfs.errors import Corruption
from mountfs.state.local_changes import Key
from mountfs.state.store import StateStore

PULLED_ROWS_MAX: Final = 20_000_000
"""Rows of one consistent state, over all of its pages."""
PULLED_BYTES_MAX: Final = 2 * GIB
"""Names, targets and entries in them."""


class FeedSource(Protocol):
    async def snapshot_page(
        self, drive_id: DriveId, after: str | None, since: str | None = None
    ) -> ChangesPage: ...
    async def changes(self, drive_id: DriveId, cursor: str) -> ChangesPage: ...


@dataclass(slots=True)
class Progress:
    """How far the pages of one consistent state have come; a server may err, or lie."""

    cursor: str = ""
    rows_count: int = 0
    rows_bytes: int = 0
    head_sequence: int = 0

    def take(self, page: ChangesPage) -> None:
        """Note the next page.

        Raises:
            Corruption: It is none: it leads nowhere, leads back, or there are too many of them.
        """
        rows_count = len(page.nodes) + len(page.dentries)
        if page.has_more and (not rows_count or page.cursor == self.cursor):
            raise Corruption("the server's feed does not get on")
        if page.consistent_at < self.head_sequence:
            raise Corruption("the server's feed goes back")
        self.rows_count += rows_count
        self.rows_bytes += sum(len(node.target) + len(node.entries) for node in page.nodes)
        self.rows_bytes += sum(len(dentry.name) for dentry in page.dentries)
        if self.rows_count > PULLED_ROWS_MAX or self.rows_bytes > PULLED_BYTES_MAX:
            raise Corruption("the server's feed does not end")
        self.head_sequence = page.consistent_at
        self.cursor = page.cursor


@dataclass(slots=True)
class Pulled:
    """What the drive is as of `cursor`, as states of what changed since the mirror's cursor."""

    progress: Progress
    nodes: dict[int, NodeState] = field(default_factory=dict)
    dentries: dict[Key, DentryState] = field(default_factory=dict)
    applied_through: int = 0
    quota: QuotaState | None = None

    @property
    def cursor(self) -> str:
        return self.progress.cursor

    def add(self, page: ChangesPage) -> None:
        """Take the next page. Raises as `Progress.take`."""
        self.progress.take(page)
        self.nodes.update((state.node_id, state) for state in page.nodes)
        self.dentries.update(((state.parent, state.name), state) for state in page.dentries)
        self.applied_through = page.applied_through
        self.quota = page.quota


async def pull_snapshot(source: FeedSource, drive_id: DriveId) -> Pulled:
    """Return the whole tree, in memory. Changes nothing. Raises `Unavailable`, `Refused`,
    `Corruption`, and `CursorReset`: the journal was compacted meanwhile."""
    pulled = Pulled(Progress())
    after: str | None = None
    while True:
        page = await source.snapshot_page(drive_id, after)
        pulled.add(page)
        after = page.cursor
        if not page.has_more:
            return await pull_changes(source, drive_id, pulled)


async def pull_changes(source: FeedSource, drive_id: DriveId, pulled: Pulled) -> Pulled:
    """Bring `pulled` to where the server is, and return it. Raises `CursorReset` as well."""
    while True:
        page = await source.changes(drive_id, pulled.cursor)
        pulled.add(page)
        if not page.has_more:
            return pulled


async def fill_empty_mirror(state: StateStore, source: FeedSource) -> None:
    """Take the drive's tree into a mirror that nobody has seen yet, page by page.

    Memory holds a page, and not a million nodes. The cursor comes last: what a crash leaves behind
    is no mirror, and is cleared by the next try.

    Raises:
        Corruption: The pages are no tree.
        CursorReset: The journal was compacted meanwhile: try again.
        Unavailable, Refused: Try again later.
    """
    assert not state.cursor
    with state.database.transaction():
        state.mirror.clear()
    progress = Progress()
    page: ChangesPage | None = None
    while page is None or page.has_more:
        page = await source.snapshot_page(state.drive_id, progress.cursor or None)
        _fill(state, page, progress)
    while True:
        page = await source.changes(state.drive_id, progress.cursor)
        with state.database.transaction():
            _fill(state, page, progress)
            if page.has_more:
                continue
            broken = state.mirror.complete()
            if broken is not None:
                raise Corruption(f"the server's tree is none: {broken}")
            state.set_value("cursor", page.cursor)
            state.batches.number_from(page.applied_through)
            state.set_quota(page.quota)
            return


def _fill(state: StateStore, page: ChangesPage, progress: Progress) -> None:
    progress.take(page)
    with state.database.transaction():
        state.mirror.apply(page.nodes, page.dentries)
