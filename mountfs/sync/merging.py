"""Brings together what two devices wrote into one text, where that can be done without asking.

A file that both sides edited is *disputed* from the moment when the feed brings the other head:
programs go on seeing what was written here, and nothing of the file is sent. Here three contents
are fetched, beside everything else, and what comes of them is put down in one transaction: a merge
on the other head, or a conflict copy.

While the server is away a dispute waits. What changes meanwhile is looked at again: a decision is
made only about exactly the contents that it was made from.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Final, NamedTuple, Protocol

import structlog
import trio

from mountfs.core.conflict import DisputeVerdict, decide_dispute, may_merge
from mountfs.core.deferral import VACATED_S
from mountfs.core.layers import FromBase, FromLayer, parts
from mountfs.errors import LocalStorageError, MountError, NotLoggedIn, Unavailable
from mountfs.state.overlay import Overlay, Source
from mountfs.state.records import NodeRecord
from mountfs.state.store import StateStore
from mountfs.state.view_changes import ViewChanges
from mountfs.sync.conflict_copies import ConflictCopies

_log = structlog.get_logger()

_JOBS_MAX: Final = 4
_ATTEMPTS_MAX: Final = 5
"""Merges of a file that is written faster than it can be merged."""
_RETRY_S: Final = 10.0


class MergeWork(Protocol):
    """What merging needs of `blocks`."""

    async def read_whole(self, source: Source) -> bytes:
        """Return a small committed content. Raises `Unavailable`, or that it is not to be had."""
        ...

    async def merge(self, base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
        """Return `core.text_merge.merge_texts`, without holding up the loop."""
        ...


class _Seen(NamedTuple):
    """What a decision is made from. Nothing of it may have changed when it is put down."""

    overlay: Overlay
    touched: int
    ours: Source | None
    base: Source
    theirs: Source


class _Outcome(Enum):
    DECIDED = auto()
    CHANGED = auto()
    """One of the contents is another meanwhile."""
    UNAVAILABLE = auto()


class Merging:
    """Decides disputes, each in a task of `nursery`. One per drive."""

    def __init__(
        self,
        state: StateStore,
        work: MergeWork,
        nursery: trio.Nursery,
        *,
        is_wanted: bool,
        copies_of: Callable[[ViewChanges], ConflictCopies],
        on_decided: Callable[[ViewChanges], None],
    ) -> None:
        self._state = state
        self._work = work
        self._nursery = nursery
        self._is_wanted = is_wanted
        self._copies_of = copies_of
        self._on_decided = on_decided
        self._limit = trio.CapacityLimiter(_JOBS_MAX)
        self._running: set[int] = set()
        self._online = trio.Event()

    def start(self) -> None:
        """Begin to decide what is disputed and not looked at yet. Never blocks."""
        for node_id in self._state.disputes.bases.keys() - self._running:
            self._running.add(node_id)
            self._nursery.start_soon(self._run, node_id)

    def try_again(self) -> None:
        """The server is back: whatever waits for it looks again."""
        self._online.set()
        self._online = trio.Event()

    def end_without_edit(self, *, now_s: float, is_hurried: bool) -> None:
        """End disputes whose edit here is gone: the file was removed, or something else than a
        save took its name. The other side's edit stays. Call behind the successions."""
        for node_id in list(self._state.disputes.bases):
            if node_id not in self._state.overlays:
                self._end_without_edit(node_id, now_s=now_s, is_hurried=is_hurried)

    # One dispute -----------------------------------------------------------------------------

    async def _run(self, node_id: int) -> None:
        try:
            async with self._limit:
                await self._work_on(node_id)
        finally:
            self._running.discard(node_id)

    async def _work_on(self, node_id: int) -> None:
        attempts = 0
        while True:
            try:
                if attempts == _ATTEMPTS_MAX:
                    self._keep_both(node_id)
                    return
                seen = self._look(node_id)
                if seen is None:
                    return
                outcome = await self._decide(seen)
            except LocalStorageError as error:
                _log.warning("two edits cannot be merged yet", error=str(error))
                outcome = _Outcome.UNAVAILABLE
            match outcome:
                case _Outcome.DECIDED:
                    return
                case _Outcome.CHANGED:
                    attempts += 1
                case _Outcome.UNAVAILABLE:
                    with trio.move_on_after(_RETRY_S):
                        await self._online.wait()

    def _look(self, node_id: int) -> _Seen | None:
        """Return what there is to merge; None when it is settled otherwise."""
        state = self._state
        base, overlay = state.disputes.bases.get(node_id), state.overlays.get(node_id)
        theirs = state.mirror.node(node_id)
        if base is None or overlay is None or theirs is None:
            return None
        if not may_merge(
            base_bytes=base.size_bytes, our_bytes=overlay.size_bytes,
            their_bytes=theirs.size_bytes, is_wanted=self._is_wanted,
            is_open_for_writing=state.inodes.inode_of(node_id) in state.writers,
        ):  # fmt: skip
            self._keep_both(node_id)
            return None
        return _Seen(overlay, overlay.touched, overlay.source, base, _head(theirs))

    async def _decide(self, seen: _Seen) -> _Outcome:
        """Fetch, merge and put down. Raises `LocalStorageError`; nothing was changed then."""
        state, node_id = self._state, seen.base.node_id
        try:
            source = await self._read(seen.ours)
            base, theirs = await self._read(seen.base), await self._read(seen.theirs)
        except (Unavailable, NotLoggedIn) as error:
            _log.info("a merge waits", reason=str(error))
            return _Outcome.UNAVAILABLE
        except MountError as error:
            _log.info("a content to be merged is not to be had", error=str(error))
            self._keep_both(node_id)
            return _Outcome.DECIDED
        if self._look(node_id) != seen:
            return _Outcome.CHANGED
        ours = _content(state, seen.overlay, source)
        merged = await self._work.merge(base, ours, theirs)
        # No await below until it is put down: what was looked at is what there is.
        if self._look(node_id) != seen:
            return _Outcome.CHANGED
        match decide_dispute(merged=merged, theirs=theirs):
            case DisputeVerdict.KEEP_BOTH:
                self._keep_both(node_id)
            case DisputeVerdict.TAKE_THEIRS:
                self._take_theirs(seen)
            case DisputeVerdict.COMMIT_MERGED:
                assert merged is not None
                self._put_down(seen, merged)
        return _Outcome.DECIDED

    async def _read(self, source: Source | None) -> bytes:
        if source is None or not source.size_bytes:
            return b""
        return await self._work.read_whole(source)

    # What came of it -------------------------------------------------------------------------

    def _put_down(self, seen: _Seen, merged: bytes) -> None:
        state, node_id = self._state, seen.base.node_id
        with state.database.transaction():
            state.overlays.replace(
                seen.overlay, merged, head=seen.theirs, merged_from=seen.base.revision,
                now_ns=state.clock.wall_ns(),
            )  # fmt: skip
            state.disputes.end(node_id)
        _log.info("two edits were merged", node=node_id)
        self._on_decided(ViewChanges(contents={node_id}, merged={node_id}))

    def _take_theirs(self, seen: _Seen) -> None:
        node_id = seen.base.node_id
        with self._state.database.transaction():
            self._state.overlays.dispose(seen.overlay)
            self._state.disputes.end(node_id)
        self._on_decided(ViewChanges(contents={node_id}))

    def _keep_both(self, node_id: int) -> None:
        state = self._state
        overlay = state.overlays.get(node_id)
        if overlay is None or node_id not in state.disputes:
            return
        view = ViewChanges()
        with state.database.transaction():
            self._copies_of(view).keep_both(overlay)
            state.disputes.end(node_id)
        _log.info("two edits cannot be merged: both are kept", node=node_id)
        self._on_decided(view)

    def _end_without_edit(self, node_id: int, *, now_s: float, is_hurried: bool) -> None:
        state = self._state
        dentries = state.changes.dentries
        rows = [dentries[key] for key in state.mirror.places(node_id) if key in dentries]
        if not is_hurried and any(not row.node_id and now_s < row.at_s + VACATED_S for row in rows):
            return  # a save may follow
        view = ViewChanges()
        with state.database.transaction():
            copies = self._copies_of(view)
            state.disputes.end(node_id)
            for row in rows if not state.tree.places(node_id) else ():
                state.changes.drop_dentry(row.key)
                view.dentries.add(row.key)
                if row.node_id:
                    copies.place_beside(*row.key, row.node_id, original=node_id)
        self._on_decided(view)


def _head(record: NodeRecord) -> Source:
    return Source(
        record.node_id, record.revision, record.manifest_id, record.entries, record.size_bytes
    )


def _content(state: StateStore, overlay: Overlay, source: bytes) -> bytes:
    """Return what programs see: the overlay over its committed content."""
    layers = overlay.generations
    if not layers:
        return source
    pieces = []
    for part in parts(layers, 0, overlay.size_bytes):
        if isinstance(part, FromLayer):
            pieces.append(state.overlays.read(layers[part.layer_index], part.extent))
        else:
            shown = source[part.start : part.end] if isinstance(part, FromBase) else b""
            pieces.append(shown.ljust(part.end - part.start, b"\0"))
    return b"".join(pieces)
