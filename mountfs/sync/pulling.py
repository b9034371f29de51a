"""Brings the mirror to where the server is, with what was changed here on top.

    gather pages ──► look what meets a change made here ──► one transaction ──► [move, in slices]

What can be found out beforehand is, while programs go on: in the transaction they wait.
"""

from collections.abc import Callable, Mapping

from backend_server.protocol.commit_messages import OperationAnswer
from mountfs.state.store import StateStore
from mountfs.sync.applying import Applied, apply, contents_in_doubt
from mountfs.sync.arrivals import Arrival
from mountfs.sync.contents import Contents, ContentSender
from mountfs.sync.feed import FeedSource, fill_empty_mirror
from mountfs.sync.gathering import SMALL_ROWS_MAX, gather
from mountfs.sync.offers import plan_offers
from mountfs.sync.planning import mark_in_flight

Answers = Mapping[int, OperationAnswer]


class Pulling:
    """One drive's. `gather` and `apply` alternate; between them nothing else writes the mirror."""

    def __init__(
        self,
        state: StateStore,
        server: FeedSource,
        sender: ContentSender,
        contents: Contents,
        *,
        device_name: str,
        new_node_id: Callable[[], int],
        is_merging: bool,
    ) -> None:
        self._state = state
        self._server = server
        self._sender = sender
        self._contents = contents
        self._device_name = device_name
        self._new_node_id = new_node_id
        self._is_merging = is_merging

    async def gather(self, *, is_nothing_pending: bool) -> Arrival:
        """Return what the server has behind our cursor. Programs see no difference yet.

        Raises: as `gathering.gather`.
        """
        if not self._state.cursor and is_nothing_pending:
            await fill_empty_mirror(self._state, self._server)
        return await gather(
            self._server, self._state, self._state.cursor, small_rows_max=SMALL_ROWS_MAX
        )

    async def apply(self, arrival: Arrival, answers: Answers | None, *, untie: bool) -> Applied:
        """Apply what was gathered, with the answers to the batch that was on its way.

        A large arrival is shown then, and not moved yet. Raises: as `applying.apply`; nothing was
        changed.
        """
        with self._state.recent.noted():
            await arrival.meet()
            await self._contents.make_known(contents_in_doubt(self._state, arrival.met(), answers))
            offers = await plan_offers(self._state, arrival, self._sender)
            await arrival.meet()
            try:
                return apply(
                    self._state,
                    arrival,
                    answers,
                    self._contents.manifest_ids(),
                    offers=offers,
                    device_name=self._device_name,
                    new_node_id=self._new_node_id,
                    untie=untie,
                    is_merging=self._is_merging,
                )
            except BaseException:
                # The transaction was undone, and with it what settling had done to the marks.
                mark_in_flight(self._state)
                raise
