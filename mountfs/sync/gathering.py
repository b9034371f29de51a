"""Pulls what the server has behind a cursor, as a small arrival or a large one."""

from typing import Final

import structlog

from backend_server.protocol.limits import COMMIT_OPERATIONS_MAX
from backend_server.protocol.tree_messages import ChangesPage
from mountfs.errors import CursorReset
from mountfs.state.store import StateStore
from mountfs.sync.feed import FeedSource, Progress, Pulled
from mountfs.sync.large_arrival import LargeArrival, in_slices
from mountfs.sync.small_arrival import SmallArrival

_log = structlog.get_logger()

SMALL_ROWS_MAX: Final = 2500
"""Rows that are applied at once: 25-50 ms."""
assert SMALL_ROWS_MAX > 2 * COMMIT_OPERATIONS_MAX, "a batch of our own creates comes back as these"


async def gather(
    source: FeedSource,
    state: StateStore,
    cursor: str,
    *,
    is_mirror_sound: bool = True,
    since: str = "",
    small_rows_max: int = SMALL_ROWS_MAX,
) -> SmallArrival | LargeArrival:
    """Return everything behind `cursor`; a snapshot when there is none or it does not hold.

    What programs see does not change by it.

    Args:
        is_mirror_sound: Whether what is in the mirror can speak against the server. If not, there
            must be no cursor.
        since: Where the mirror stands, if `cursor` does not say so.

    Raises:
        Corruption: The pages are no tree.
        Unavailable, Refused, LocalStorageFull: Try again later.
    """
    if cursor:
        try:
            return await _gather_changes(source, state, cursor, small_rows_max)
        except CursorReset:
            _log.warning("the feed was reset: the mirror is built anew")
    await in_slices(state.next_mirror.clear())
    arrival = LargeArrival(state, Progress(), is_snapshot=True)
    after: str | None = None
    while True:
        page = await source.snapshot_page(state.drive_id, after, since or cursor or None)
        await arrival.take(page)
        after = page.cursor
        if not page.has_more:
            break
    await arrival.follow(source)
    await arrival.hold_against_laws(is_mirror_sound=is_mirror_sound)
    return arrival


async def _gather_changes(
    source: FeedSource, state: StateStore, cursor: str, small_rows_max: int
) -> SmallArrival | LargeArrival:
    small = Pulled(Progress(cursor))
    page: ChangesPage | None = None
    while page is None or page.has_more:
        page = await source.changes(state.drive_id, small.cursor)
        small.add(page)
        if small.progress.rows_count > small_rows_max:
            break
    else:
        return SmallArrival(state, small)
    await in_slices(state.next_mirror.clear())
    large = LargeArrival(state, small.progress, is_snapshot=False)
    await large.begin_with(small, page)
    if page.has_more:
        await large.follow(source)
    await large.hold_against_laws(is_mirror_sound=True)
    return large
