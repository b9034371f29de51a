"""Where writes go: bytes first, their row second, the answer third.

A small write into a generation that has no staging file is a row of its own; larger ones, and
everything once the small ones add up, go to the generation's sparse file. `overlay_log` has what
was done, and is replayed after a crash.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Final

from mountfs.clock import Clock
from mountfs.core.extents import STAGED, Extent
from mountfs.errors import LocalStorageBroken, StagingFull
from mountfs.state.counter import ChangeCounter
from mountfs.state.database import Database
from mountfs.state.overlay import Generation, Overlay, Source
from mountfs.state.overlay_rows import OverlayRows, replay_truncation
from mountfs.state.recent_changes import RecentChanges
from mountfs.state.staging import StagingFiles

_LOG = logging.getLogger(__name__)

SMALL_WRITE_BYTES_MAX: Final = 16 * 1024
SMALL_BYTES_MAX: Final = 64 * 1024
"""Small writes that one generation keeps as rows, together."""
assert SMALL_WRITE_BYTES_MAX <= SMALL_BYTES_MAX


class Overlays:
    """All overlays of one drive. One thread: the event loop's."""

    def __init__(
        self,
        database: Database,
        staging: StagingFiles,
        counter: ChangeCounter,
        clock: Clock,
        recent: RecentChanges,
        *,
        staging_limit_bytes: int,
    ) -> None:
        self._database = database
        self._rows = OverlayRows(database)
        self._staging = staging
        self._counter = counter
        self._clock = clock
        self._recent = recent
        self._by_node: dict[int, Overlay] = {}
        self._detached: set[Overlay] = set()
        self._leaving: dict[int, bool] = {}
        """Generations whose rows go with this transaction; whether the rows were trusted."""
        self.staging_limit_bytes = staging_limit_bytes
        self.dirty_bytes = 0
        """Bytes held by all generations; bytes written twice may count twice until they matter."""
        self.load()
        self._collect_garbage()

    # What there is ---------------------------------------------------------------------------

    def get(self, node_id: int) -> Overlay | None:
        return self._by_node.get(node_id)

    def __contains__(self, node_id: int) -> bool:
        return node_id in self._by_node

    def __iter__(self) -> Iterator[Overlay]:
        return iter(list(self._by_node.values()))

    def __len__(self) -> int:
        return len(self._by_node)

    def read(self, generation: Generation, extent: Extent) -> bytes:
        """Return the bytes of `extent`, which lies in `generation`."""
        length = extent.end - extent.start
        if extent.place == STAGED:
            return self._staging.read(generation.generation_id, extent.start, length)
        within = extent.start - extent.origin
        return self.small_write(extent.place)[within : within + length]

    def small_write(self, place: int) -> bytes:
        """Return a whole small write by its place."""
        return self._rows.small_write(place)

    # Changes ---------------------------------------------------------------------------------

    def begin(self, node_id: int, *, expected_revision: int, source: Source | None) -> Overlay:
        """Return a new overlay, without generations, for a node that has none."""
        assert node_id not in self._by_node
        overlay = Overlay(node_id, expected_revision, source)
        self._by_node[node_id] = overlay
        self._store(overlay)
        return overlay

    def begin_detached(self, node_id: int, source: Source | None) -> Overlay:
        """Return a new overlay for a file that has no name any more. See `detach`."""
        overlay = Overlay(node_id, 0, source)
        overlay.is_detached = True
        self._detached.add(overlay)
        return overlay

    def write(self, overlay: Overlay, offset: int, data: bytes, *, now_ns: int) -> None:
        """Put `data` at `offset`. Survives SIGKILL on return; for power loss see `unsynced`.

        Raises:
            StagingFull: What is not on the server fills its share of the disk.
            LocalStorageFull: The disk is full. Nothing was changed.
        """
        if not data:
            return
        self._check_room(len(data))
        generation = self._top(overlay)
        end = offset + len(data)
        is_small = (
            len(data) <= SMALL_WRITE_BYTES_MAX
            and not generation.is_staged
            and generation.small_bytes + len(data) <= SMALL_BYTES_MAX
        )
        if is_small:
            touched = self._counter.next()
            self._write_small(generation, touched, offset, data, now_ns)
        else:
            touched = self._write_staged(generation, offset, data, now_ns)
        generation.held_bytes += len(data)
        self.dirty_bytes += len(data)
        generation.size_bytes = max(generation.size_bytes, end)
        self._changed(overlay, generation, touched, now_ns)

    def truncate(self, overlay: Overlay, size_bytes: int, *, now_ns: int) -> None:
        """Set the size: bytes behind it are gone for good, bytes it adds are zero."""
        generation = self._top(overlay)
        touched = self._counter.next()
        self._rows.add_truncation(generation, touched, size_bytes, now_ns)
        replay_truncation(generation, size_bytes)
        self._changed(overlay, generation, touched, now_ns)

    def freeze(self, overlay: Overlay) -> None:
        """Later writes go to a new generation. O(1)."""
        if overlay.generations:
            overlay.generations[-1].is_frozen = True
        overlay.first_change_s = 0.0

    def retire(self, overlay: Overlay, generation_ids: Iterable[int], committed: Source) -> None:
        """The server has these generations, as `committed`: the overlay's lowest ones."""
        gone = set(generation_ids)
        retired = overlay.generations[: len(gone)]
        assert {generation.generation_id for generation in retired} == gone
        del overlay.generations[: len(gone)]
        with self._database.transaction():
            for generation in retired:
                self._forget(generation)
            if overlay.generations or overlay.is_detached:
                overlay.source = committed
                overlay.expected_revision = committed.revision
                overlay.merged_from = 0
                self._store(overlay)
            else:
                self._drop_row(overlay)

    def replace(
        self, overlay: Overlay, data: bytes, *, head: Source, merged_from: int, now_ns: int
    ) -> Overlay:
        """Return the overlay that takes this one's place: all of `data`, to replace `head`.

        What was durable stays so. Raises as `write`; the caller's transaction must then be undone.
        """
        is_promised = any(generation.is_promised for generation in overlay.generations)
        self.dispose(overlay)
        made = Overlay(overlay.node_id, head.revision, None)
        made.merged_from = merged_from
        self._by_node[made.node_id] = made
        self._store(made)
        self.truncate(made, len(data), now_ns=now_ns)
        self.write(made, 0, data, now_ns=now_ns)
        if is_promised:
            through = made.touched
            for generation_id in self.unsynced(made):
                self._staging.sync(generation_id)
            self.mark_synced(made, through)
        return made

    def rebase(self, overlay: Overlay, expected_revision: int) -> None:
        """A commit of the overlay is to replace this head."""
        overlay.expected_revision = expected_revision
        self._store(overlay)

    def stand_on(self, overlay: Overlay, head: Source) -> None:
        """What lies below the overlay is this head now, the same bytes; a commit replaces it."""
        assert overlay.source is not None
        assert overlay.source.manifest_id == head.manifest_id
        overlay.source = head
        self.rebase(overlay, head.revision)

    def move(self, overlay: Overlay, node_id: int, *, expected_revision: int) -> None:
        """Make the overlay that of another node, which has none."""
        assert node_id not in self._by_node
        with self._database.transaction():
            self._drop_row(overlay)
            overlay.node_id = node_id
            overlay.expected_revision = expected_revision
            overlay.merged_from = 0
            self._by_node[node_id] = overlay
            self._store(overlay)
            self._rows.give(overlay.generations, node_id)

    def detach(self, overlay: Overlay) -> None:
        """The file has no name any more: never sent, gone after a crash, usable until `dispose`."""
        self._drop_row(overlay)
        overlay.is_detached = True
        self._detached.add(overlay)
        self._database.if_undone(lambda: self._reattach(overlay))
        # The rows must not become layers of the file that took its place when they are loaded.
        self._rows.give(overlay.generations, 0)

    def dispose(self, overlay: Overlay) -> None:
        """Drop what the overlay holds. It must be detached, or is dropped from its node."""
        with self._database.transaction():
            if not overlay.is_detached:
                self._drop_row(overlay)
            for generation in overlay.generations:
                self._forget(generation)
            self._database.when_done(lambda: self._disposed(overlay))

    def _disposed(self, overlay: Overlay) -> None:
        overlay.generations.clear()
        self._detached.discard(overlay)

    # Durability ------------------------------------------------------------------------------

    def unsynced(self, overlay: Overlay) -> list[int]:
        """Return the generations whose staged bytes may not be on the platter yet.

        What is written from now on gets a row of its own, which a sync of these does not cover,
        and a small write that moves to a file from now on is synced there.
        """
        for generation in overlay.generations:
            generation.is_promised = True
            generation.last_row = None
        return [
            generation.generation_id
            for generation in overlay.generations
            if generation.is_staged and generation.touched > generation.synced_through
        ]

    def sync_file(self, generation_id: int) -> bool:
        """Put a generation's staged bytes on the platter; whether there were any. Blocks; for a
        worker thread."""
        return self._staging.sync(generation_id)

    def mark_synced(self, overlay: Overlay, through: int) -> None:
        """Record that staged writes up to the change `through` are on the platter."""
        for generation in overlay.generations:
            if generation.is_staged and generation.synced_through < through:
                generation.last_row = None
                self._rows.store_synced(generation, through)

    # Inside ----------------------------------------------------------------------------------

    def _top(self, overlay: Overlay) -> Generation:
        if overlay.generations and not overlay.generations[-1].is_frozen:
            return overlay.generations[-1]
        node_id = 0 if overlay.is_detached else overlay.node_id
        generation = self._rows.add_generation(node_id, overlay.size_bytes)
        overlay.generations.append(generation)
        return generation

    def _write_staged(self, generation: Generation, offset: int, data: bytes, now_ns: int) -> int:
        if not generation.is_staged:
            self._staging.begin(generation.generation_id)
            self._spill(generation, now_ns)
        end = offset + len(data)
        self._staging.write(generation.generation_id, offset, data)
        touched = self._rows.add_staged(generation, self._counter.next(), offset, end, now_ns)
        generation.extents.cover(offset, end)
        return touched

    def _spill(self, generation: Generation, now_ns: int) -> None:
        """Move the small writes into a staging file: bytes first, then their rows."""
        extents = list(generation.extents)
        for extent in extents:
            self._staging.write(
                generation.generation_id, extent.start, self.read(generation, extent)
            )
        if generation.is_promised:
            self._staging.sync(generation.generation_id)
        with self._database.transaction():
            self._rows.forget_small_writes(generation.generation_id)
            through = 0
            for extent in extents:
                through = self._rows.add_staged(
                    generation, self._counter.next(), extent.start, extent.end, now_ns
                )
            if generation.is_promised and through:
                self._rows.store_synced(generation, through)
        for extent in extents:
            generation.extents.cover(extent.start, extent.end)
        generation.is_staged = True
        generation.small_bytes = 0
        # The next write is a row of its own: a sync may have covered these.
        generation.last_row = None

    def _write_small(
        self, generation: Generation, touched: int, start: int, data: bytes, now_ns: int
    ) -> None:
        """Keep `data` as a row. A database writes the same few pages over and over: they stay few
        rows, whose fsync(2) asks the platter once, and not a staging file, which asks it twice."""
        end = start + len(data)
        place = generation.extents.exact(start, end)
        assert place != STAGED  # what has a staging file keeps no small writes
        if place is not None and self._rows.replace_write(place, touched, start, data, now_ns):
            return
        place = self._rows.add_write(generation, touched, start, data, now_ns)
        generation.small_bytes += len(data)
        generation.extents.cover(start, end, place, start)

    def _changed(self, overlay: Overlay, generation: Generation, touched: int, now_ns: int) -> None:
        generation.touched = overlay.touched = max(touched, overlay.touched)
        generation.first_touched = generation.first_touched or touched
        overlay.mtime_ns = now_ns
        overlay.last_change_s = self._clock.monotonic_s()
        overlay.first_change_s = overlay.first_change_s or overlay.last_change_s

    def _store(self, overlay: Overlay) -> None:
        if not overlay.is_detached:
            self._recent.node(overlay.node_id)
            self._rows.store(overlay)

    def _drop_row(self, overlay: Overlay) -> None:
        if self._by_node.get(overlay.node_id) is overlay:
            del self._by_node[overlay.node_id]
            self._rows.remove(overlay.node_id)

    def _forget(self, generation: Generation) -> None:
        self.dirty_bytes -= generation.held_bytes
        self._forget_rows(generation.generation_id, is_trusted=generation.synced_through > 0)

    def _forget_rows(self, generation_id: int, *, is_trusted: bool) -> None:
        """`is_trusted`: after a power loss the rows would be believed."""
        self._rows.forget(generation_id)
        self._leaving[generation_id] = is_trusted
        self._database.when_done(self._remove_leaving)

    def _remove_leaving(self) -> None:
        """Remove the files whose rows are gone: never before, or zeros would take their place.
        What cannot be removed now is collected at the next start."""
        leaving, self._leaving = self._leaving, {}
        try:
            if any(leaving.values()):
                self._database.make_durable()
            for generation_id in leaving:
                self._staging.remove(generation_id)
        except (LocalStorageBroken, OSError) as error:
            _LOG.warning("staged bytes that nobody needs stay: %s", error)

    def _check_room(self, length: int) -> None:
        if self.dirty_bytes + length > self.staging_limit_bytes:
            self.recount()  # bytes written over and over were counted over and over
            if self.dirty_bytes + length > self.staging_limit_bytes:
                raise StagingFull("what waits for the server fills the staging area")

    def recount(self) -> None:
        """Make `dirty_bytes` and the overlays' `held_bytes` exact, where writes over written bytes
        counted twice."""
        self.dirty_bytes = 0
        for overlay in (*self._by_node.values(), *self._detached):
            for generation in overlay.generations:
                generation.held_bytes = sum(e.end - e.start for e in generation.extents)
                self.dirty_bytes += generation.held_bytes

    def load(self) -> None:
        """Take the rows as they are; what memory had is forgotten, but for overlays that are
        detached, which live on for their handles.

        All generations count as frozen then: a batch on its way may name any of them, and what is
        written from now on must not be taken for a part of it.
        """
        self._leaving.clear()
        self._by_node = self._rows.load()
        for overlay in self._detached:
            self._rows.reload_detached(overlay)
        self.recount()

    def _reattach(self, overlay: Overlay) -> None:
        overlay.is_detached = False
        self._detached.discard(overlay)

    def _collect_garbage(self) -> None:
        """What was detached when the last run ended belongs to nobody.

        What only seems to be nobody's, for rows are missing, is kept: a check sets it aside.
        """
        kept = {g.generation_id for o in self for g in o.generations}
        if orphaned := self._rows.orphaned_ids() - kept:
            _LOG.warning("written bytes belong to no file: see `mountfs check`")
            kept |= orphaned
        for generation_id in (self._rows.generation_ids() | self._staging.generation_ids()) - kept:
            self._forget_rows(generation_id, is_trusted=False)
