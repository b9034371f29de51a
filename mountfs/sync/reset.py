"""A mirror built anew from a snapshot, with what was changed here on top, while nothing runs."""

from collections.abc import Callable
from typing import Protocol

from mountfs.errors import SetupError
from mountfs.state.store import StateStore
from mountfs.sync.applying import Applied, apply
from mountfs.sync.feed import FeedSource
from mountfs.sync.gathering import gather
from mountfs.sync.large_arrival import move_into_mirror
from mountfs.sync.planning import mark_in_flight
from mountfs.sync.resend import CommitServer, send_batch


class ResetServer(FeedSource, CommitServer, Protocol):
    """What a reset needs of `transport`."""


async def reset_mirror(
    state: StateStore, server: ResetServer, *, device_name: str, new_node_id: Callable[[], int]
) -> Applied:
    """Bring the mirror to what the server says, whatever is in it, as after a reset of the feed.

    A batch on its way is settled first, so that nothing of it passes for somebody else's. Raises
    `Unavailable`, `Refused`, and `SetupError` if the server came back from a backup: nothing was
    changed.
    """
    await move_into_mirror(state, lambda view: None)
    mark_in_flight(state)
    answers = await send_batch(state, server, {})
    arrival = await gather(server, state, "", is_mirror_sound=False, since=state.cursor)
    if arrival.lost_past is not None:
        # What is offered to it must be looked for in the cache, which only a mount has.
        raise SetupError(
            "the server came back from a backup, and this device may hold what it lost",
            remedy="mount the drive first: that gives it back",
        )
    applied = apply(
        state,
        arrival,
        answers,
        {},
        device_name=device_name,
        new_node_id=new_node_id,
        untie=False,
        is_merging=False,  # nobody is there to fetch what would be merged: both are kept
    )
    await move_into_mirror(state, lambda view: None)
    return applied
