"""The one task that keeps a drive in step with its server.

    settle the batch on its way ── pull the feed ── apply both ── plan ── send ──┐
        ▲                                                                        │
        └──────────── wait: a change here, a hint from there, a due moment ◄─────┘

Batches and pulls alternate in one task, so the mirror never sees a feed that holds answers it does
not know yet, and our own changes never look like somebody else's.
"""

import random
from collections.abc import Callable
from typing import Final, Protocol

import structlog
import trio

from backend_server.protocol.commit_messages import Operation, OperationAnswer, Outcome
from backend_server.protocol.limits import COMMIT_OPERATIONS_MAX
from mountfs.core.refused_change import facts_of
from mountfs.errors import MountError, NotLoggedIn, Refused, Unavailable
from mountfs.state.store import StateStore
from mountfs.state.view_changes import ViewChanges
from mountfs.sync.applying import Applied
from mountfs.sync.backoff import BACKOFF_MAX_S, backoff_s
from mountfs.sync.burst import Burst
from mountfs.sync.conflict_copies import ConflictCopies
from mountfs.sync.contents import Contents, ContentSender
from mountfs.sync.feed import FeedSource
from mountfs.sync.follower import Follower, PollServer
from mountfs.sync.large_arrival import move_into_mirror
from mountfs.sync.merging import MergeWork, Merging
from mountfs.sync.planning import (
    held_nodes,
    is_sent,
    mark_in_flight,
    next_held_until_s,
    plan_batch,
    settle_unchanged,
    store_batch,
)
from mountfs.sync.pulling import Pulling
from mountfs.sync.resend import CommitServer, send_batch
from mountfs.sync.successions import apply_successions

_log = structlog.get_logger()

# Batches in a row of which the server may make nothing before they are slowed down.
_FRUITLESS_MAX: Final = 2


class DriveServer(PollServer, FeedSource, CommitServer, Protocol):
    """What `sync` needs of `transport`."""


class DriveSync:
    """Owns `state`'s mirror and batches. `run` it once; everything else may be called any time."""

    def __init__(
        self,
        state: StateStore,
        server: DriveServer,
        sender: ContentSender,
        merge_work: MergeWork,
        *,
        device_name: str,
        is_merging: bool,
        new_node_id: Callable[[], int],
        on_view_changes: Callable[[ViewChanges], None],
        on_online: Callable[[bool], None],
        jitter: random.Random,
    ) -> None:
        self._state = state
        self._server = server
        self._sender = sender
        self._merge_work = merge_work
        self._is_merging = is_merging
        self._device_name = device_name
        self._new_node_id = new_node_id
        self._on_view_changes = on_view_changes
        self._on_online = on_online
        self._jitter = jitter
        self._follower = Follower(
            state.drive_id,
            server,
            cursor=lambda: state.cursor,
            moved=self._caught_up,  # mostly by our own commit, which the loop has pulled by now
            hint=self.hint,
            jitter=jitter,
        )
        self._contents: Contents | None = None
        self._pulling: Pulling | None = None
        self._merging: Merging | None = None
        self._wake = trio.Event()
        self._woken = trio.Event()
        self._is_remote_ahead = True
        self._burst = Burst()
        self._is_one_placement = False
        self._held_until_s: float | None = None
        """When to plan again, for what the last plan held back; None: it held nothing back."""
        self._fruitless_count = 0  # batches in a row of which the server made nothing
        # The batch on its way with its inline blocks; lost in a crash, then sent without.
        self._operations: dict[int, Operation] = {}
        self._pulls_begun = self._pulls_applied = 0  # numbers: the last, the last in the mirror
        self._pull_ended = trio.Event()
        self._round_done = trio.Condition()
        self.is_online = False
        self.has_mirror = trio.Event()
        self.last_error: MountError | None = None
        self.commits_count = 0

    # From outside ----------------------------------------------------------------------------

    def local_change(self) -> None:
        """Something was changed here. Never blocks."""
        if self._burst.note(self._state.clock.monotonic_s()):
            self._wake.set()  # once a burst: the loop itself looks when it ends

    def hint(self) -> None:
        """The drive may have moved on the server. Never blocks."""
        self._is_remote_ahead = True
        self._wake.set()

    def woke(self) -> None:
        """The machine slept: whatever is waited for, the server is to be asked now."""
        self._follower.try_now()
        self._woken.set()
        self.hint()

    async def catch_up(self) -> None:
        """Return when the mirror has what the server had at this call, or the server is away.

        A round trip or two, but no bound of its own: put one around it.
        """
        self.hint()
        wanted = self._pulls_begun + 1
        while self._pulls_applied < wanted and self.is_online:
            await self._pull_ended.wait()

    async def sync_now(self) -> list[int]:
        """Return when the server has everything written before this call.

        Returns the nodes whose changes it refused, for a person to look at. Waits for as long as
        the server cannot be reached: cancel it.
        """
        point = self._state.counter.last
        assert self._contents is not None
        self._contents.is_hurried = True
        self._burst.expect()
        self._state.parking.unpark_all()
        try:
            self._wake.set()
            while not is_sent(self._state, point):
                async with self._round_done:
                    await self._round_done.wait()
        finally:
            self._contents.is_hurried = False
        return sorted(self._state.parking.codes)

    @property
    def pending_count(self) -> int:
        """How many changes the server does not have."""
        changes = self._state.changes
        return len(changes.dentries) + len(changes.nodes) + len(self._state.overlays)

    # The loop --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep in step until cancelled. Nothing is lost by cancelling at any await."""
        mark_in_flight(self._state)
        if self._state.cursor:
            self.has_mirror.set()
        if self.pending_count:
            self.local_change()
        async with trio.open_nursery() as nursery:
            self._contents = Contents(self._state, self._sender, nursery, wake=self._content_done)
            self._pulling = Pulling(
                self._state, self._server, self._sender, self._contents,
                device_name=self._device_name, new_node_id=self._new_node_id,
                is_merging=self._is_merging,
            )  # fmt: skip
            self._merging = Merging(
                self._state, self._merge_work, nursery, is_wanted=self._is_merging,
                copies_of=self._copies_of, on_decided=self._dispute_decided,
            )  # fmt: skip
            self._merging.start()
            await self._contents.hold_lost()
            nursery.start_soon(self._follow)
            failures = 0
            while True:
                try:
                    await self._round()
                    failures = 0
                    self._set_online(True)
                except MountError as error:
                    self._burst.expect()  # a plan may have been given up half-way
                    failures += 1
                    await self._failed(error, failures)
                async with self._round_done:
                    self._round_done.notify_all()
                if not failures:
                    await self._wait()

    async def _round(self) -> None:
        """Settle, pull, apply; then plan and send one batch."""
        assert self._contents is not None
        if self._state.mirror.is_layered:  # cut off by a full disk, or the end of the daemon
            await move_into_mirror(self._state, self._on_view_changes)
            self._is_remote_ahead = True
        answers = await self._settle()
        if answers is not None or self._is_remote_ahead:
            await self._pull_and_apply(answers)
        if not self._is_due():
            return
        now_s = self._state.clock.monotonic_s()
        await self._contents.start_due(now_s)
        await self._contents.wait_small()
        self._plan()

    async def _settle(self) -> dict[int, OperationAnswer] | None:
        answers = await send_batch(self._state, self._server, self._operations)
        self.commits_count += answers is not None
        return answers

    async def _pull_and_apply(self, answers: dict[int, OperationAnswer] | None) -> None:
        assert self._pulling is not None
        self._is_remote_ahead = False
        self._pulls_begun += 1
        number = self._pulls_begun
        try:
            arrival = await self._pulling.gather(is_nothing_pending=not self.pending_count)
            self._set_online(True)  # before anybody hears of what came
            applied = await self._pulling.apply(arrival, answers, untie=self._is_one_placement)
        except BaseException:
            self._is_remote_ahead = True
            raise
        self._after_apply(applied, is_settled=answers is not None)
        self.has_mirror.set()
        await move_into_mirror(
            self._state, self._on_view_changes, applied.settlement.applied_revisions
        )
        self._pulls_applied = number
        self._end_pull()
        if answers is not None:
            await self._mind_fruitless(answers)

    async def _mind_fruitless(self, answers: dict[int, OperationAnswer]) -> None:
        """A server that makes nothing of batch after batch is not to be asked in a hot loop."""
        if any(answer.outcome is Outcome.APPLIED for answer in answers.values()):
            self._fruitless_count = 0
            return
        self._fruitless_count += 1
        if self._fruitless_count > _FRUITLESS_MAX:
            await trio.sleep(backoff_s(self._fruitless_count - _FRUITLESS_MAX, self._jitter))

    def _after_apply(self, applied: Applied, *, is_settled: bool) -> None:
        assert self._contents is not None
        assert self._merging is not None
        self._merging.start()
        if is_settled:
            # What the batch had no room for goes at once, what became free soon.
            is_full = len(self._operations) >= COMMIT_OPERATIONS_MAX // 2
            self._burst.reopen(self._state.clock.monotonic_s(), is_due=is_full)
            self._operations = {}
            self._is_one_placement = bool(applied.settlement.knotted_keys)
        if applied.is_more_sendable:
            self._burst.reopen(self._state.clock.monotonic_s(), is_due=False)
        for node_id in applied.settlement.missing_nodes:
            self._contents.forget(node_id)
        for node_id in applied.settlement.applied_revisions:
            self._contents.committed(node_id, self._state.clock.monotonic_s())
        self._contents.forget_retired()
        if count := len(applied.conflicts):
            _log.info("both sides changed the same: copies are kept", count=count)
        if applied.view:
            self._on_view_changes(applied.view)
        for refused in applied.settlement.parked:
            _log.warning("the server refused a change; it waits for you", **facts_of(refused))

    def _plan(self) -> None:
        """Store the next batch if there is something to send. No checkpoint."""
        assert self._contents is not None
        assert self._merging is not None
        self._burst.close()
        apply_successions(self._state)
        self._merging.end_without_edit(
            now_s=self._state.clock.monotonic_s(), is_hurried=self._contents.is_hurried
        )
        contents = self._contents.ready()
        settle_unchanged(self._state, contents)
        self._contents.forget_retired()
        now_s, is_hurried = self._state.clock.monotonic_s(), self._contents.is_hurried
        held = held_nodes(self._state, now_s=now_s, is_hurried=is_hurried)
        self._held_until_s = None if is_hurried else next_held_until_s(self._state, now_s=now_s)
        planned = plan_batch(
            self._state,
            contents,
            self._contents.unready(),
            held,
            is_one_placement=self._is_one_placement,
        )
        if planned:
            self._operations = {item.operation.number: item.operation for item in planned}
            store_batch(self._state, planned)

    def _copies_of(self, view: ViewChanges) -> ConflictCopies:
        return ConflictCopies(
            self._state, view, device_name=self._device_name, new_node_id=self._new_node_id
        )

    def _dispute_decided(self, view: ViewChanges) -> None:
        assert self._contents is not None
        self._contents.forget_retired()
        self._on_view_changes(view)
        self._content_done()

    def _content_done(self) -> None:
        self._burst.expect()
        self._wake.set()

    # Waiting ---------------------------------------------------------------------------------

    def _is_due(self) -> bool:
        return self._due_at_s() <= self._state.clock.monotonic_s()

    def _due_at_s(self) -> float:
        """Return when there is something to plan; infinity when nothing waits."""
        assert self._contents is not None
        burst_due_s = self._burst.due_at_s()
        if burst_due_s is not None and self._contents.is_hurried:
            return 0.0
        content_due_s = self._contents.next_due_at_s()
        if content_due_s is not None and burst_due_s is not None:
            # A closed file is due soon, but goes with the burst that it is part of: unpacking a
            # thousand files made 60-90 batches, and makes 2.
            content_due_s = max(content_due_s, burst_due_s)
        moments = (burst_due_s, content_due_s, self._held_until_s)
        return min((moment for moment in moments if moment is not None), default=float("inf"))

    async def _wait(self) -> None:
        """Return when there is something to do."""
        if self._state.batches.in_flight or self._is_remote_ahead:
            return
        due_in_s = self._due_at_s() - self._state.clock.monotonic_s()
        with trio.move_on_after(max(due_in_s, 0.0)):
            await self._wake.wait()
        self._wake = trio.Event()

    async def _failed(self, error: MountError, failures: int) -> None:
        self.last_error = error
        is_offline = isinstance(error, Unavailable)
        if is_offline:
            self._set_online(False)
        self._end_pull()
        (_log.info if is_offline else _log.error)("cannot sync now", reason=str(error))
        pause_s = backoff_s(failures, self._jitter)
        if isinstance(error, NotLoggedIn | Refused):
            pause_s = BACKOFF_MAX_S * self._jitter.uniform(0.5, 1.0)
        self._woken = trio.Event()
        with trio.move_on_after(pause_s):
            await self._woken.wait()

    def _set_online(self, is_online: bool) -> None:
        if is_online:
            self.last_error = None
        if is_online != self.is_online:
            self.is_online = is_online
            if is_online:
                self._follower.try_now()
                if self._merging is not None:
                    self._merging.try_again()
            self._on_online(is_online)

    def _end_pull(self) -> None:
        self._pull_ended.set()
        self._pull_ended = trio.Event()

    async def _follow(self) -> None:
        await self.has_mirror.wait()
        await self._follower.run()

    async def _caught_up(self, cursor: str) -> None:
        """Return when the loop is past `cursor` (or has tried), which is woken if it is not."""
        if self._state.cursor != cursor:
            return
        self.hint()
        async with self._round_done:
            if self._state.cursor == cursor:
                await self._round_done.wait()
