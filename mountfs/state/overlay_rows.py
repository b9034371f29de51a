"""The rows behind overlays: `overlay`, `generation`, and `overlay_log`, what was done to each.

The log replayed gives the same extents. A row that is there has its bytes in place: they were
written before it (SIGKILL), or `synced_through` says so (power loss).
"""

from collections.abc import Iterable
from typing import Final

from mountfs.core.extents import STAGED
from mountfs.core.overlay_laws import LogRow, is_sensible
from mountfs.errors import StateDamaged
from mountfs.state.database import Database
from mountfs.state.overlay import Generation, LastRow, Overlay, Source

_ROW_BITS: Final = 32
_LAST_ROW: Final = (1 << _ROW_BITS) - 1
_GENERATIONS: Final = (
    "SELECT node_id, generation_id, size_bytes, visible_below_bytes, synced_through FROM generation"
)


class OverlayRows:
    """One thread: the event loop's. Raises what `Database.execute` raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Overlays and generations ----------------------------------------------------------------

    def store(self, overlay: Overlay) -> None:
        """Insert or replace the row of an overlay, without its generations."""
        source = overlay.source or Source(0, 0, b"", b"", 0)
        self._database.execute(
            "INSERT OR REPLACE INTO overlay (node_id, expected_revision, source_node, "
            "source_revision, source_manifest_id, source_entries, source_size_bytes, merged_from) "
            "VALUES (?,?,?,?,?,?,?,?)",
            (overlay.node_id, overlay.expected_revision, *source, overlay.merged_from),
        )

    def remove(self, node_id: int) -> None:
        """Remove the row of a node's overlay; its generations stay."""
        self._database.execute("DELETE FROM overlay WHERE node_id = ?", (node_id,))

    def add_generation(self, node_id: int, size_bytes: int) -> Generation:
        """Return a new generation of a node; 0: of one that has no name any more."""
        cursor = self._database.execute(
            "INSERT INTO generation (node_id, size_bytes, visible_below_bytes, synced_through) "
            "VALUES (?,?,?,0)",
            (node_id, size_bytes, size_bytes),
        )
        assert cursor.lastrowid is not None
        return Generation(cursor.lastrowid, size_bytes, size_bytes, 0)

    def give(self, generations: Iterable[Generation], node_id: int) -> None:
        """Make generations those of another node; 0: of none."""
        self._database.execute_many(
            "UPDATE generation SET node_id = ? WHERE generation_id = ?",
            [(node_id, generation.generation_id) for generation in generations],
        )

    def store_synced(self, generation: Generation, through: int) -> None:
        """Staged bytes of changes up to `through` are on the platter."""
        self._database.execute(
            "UPDATE generation SET synced_through = ? WHERE generation_id = ?",
            (through, generation.generation_id),
        )
        generation.synced_through = through

    def forget(self, generation_id: int) -> None:
        """Remove a generation and what was done to it."""
        self._database.execute("DELETE FROM generation WHERE generation_id = ?", (generation_id,))
        self._database.execute(
            "DELETE FROM overlay_log WHERE place BETWEEN ? AND ?", places_of(generation_id)
        )

    def load(self) -> dict[int, Overlay]:
        """Return every node's overlay, with its generations, all frozen."""
        overlays: dict[int, Overlay] = {}
        for node_id, expected, merged_from, *source in self._database.execute(
            "SELECT node_id, expected_revision, merged_from, source_node, source_revision, "
            "source_manifest_id, source_entries, source_size_bytes FROM overlay"
        ).fetchall():
            overlay = Overlay(node_id, expected, Source(*source) if source[0] else None)
            overlay.merged_from = merged_from
            overlays[node_id] = overlay
        rows = self._database.execute(f"{_GENERATIONS} WHERE node_id != 0 ORDER BY generation_id")
        for node_id, *row in rows.fetchall():
            if node_id in overlays:
                self._add_loaded(overlays[node_id], Generation(*row))
        return overlays

    def reload_detached(self, overlay: Overlay) -> None:
        """Give an overlay that no node has those of its generations whose rows are there."""
        known, overlay.generations = overlay.generations, []
        for generation in known:
            row = self._database.execute(
                f"{_GENERATIONS} WHERE node_id = 0 AND generation_id = ?",
                (generation.generation_id,),
            ).fetchone()
            if row is not None:
                self._add_loaded(overlay, Generation(*row[1:]))

    def generation_ids(self) -> set[int]:
        rows = self._database.execute("SELECT generation_id FROM generation").fetchall()
        return {generation_id for (generation_id,) in rows}

    def orphaned_ids(self) -> set[int]:
        """Return generations of a file that has no overlay, and those that only the log knows."""
        rows = self._database.execute(
            "SELECT generation_id FROM generation "
            "WHERE node_id != 0 AND node_id NOT IN (SELECT node_id FROM overlay) "
            "UNION SELECT place >> 32 FROM overlay_log "
            "WHERE place >> 32 NOT IN (SELECT generation_id FROM generation)"
        ).fetchall()
        return {generation_id for (generation_id,) in rows}

    # The log ---------------------------------------------------------------------------------

    def small_write(self, place: int) -> bytes:
        """Return a whole small write."""
        row = self._database.execute(
            "SELECT data FROM overlay_log WHERE place = ?", (place,)
        ).fetchone()
        return bytes(row[0])

    def add_write(
        self, generation: Generation, touched: int, start: int, data: bytes, now_ns: int
    ) -> int:
        """Keep a small write as a row. Returns its place."""
        generation.last_row = None
        return self._add(generation, touched, start, start + len(data), now_ns, data)

    def add_truncation(
        self, generation: Generation, touched: int, size_bytes: int, now_ns: int
    ) -> None:
        generation.last_row = None
        self._add(generation, touched, size_bytes, None, now_ns, None)

    def add_staged(
        self, generation: Generation, touched: int, start: int, end: int, now_ns: int
    ) -> int:
        """Note bytes that are in the staging file. Returns the change that stands for them: a
        write that goes on where the last one ended is part of that one's row, so a file written
        from front to back has one."""
        last = generation.last_row
        if last is not None and last.end == start:
            self._database.execute(
                "UPDATE overlay_log SET end_at = ?, at_ns = ? WHERE place = ?",
                (end, now_ns, last.place),
            )
            generation.last_row = last._replace(end=end)
            return last.touched
        place = self._add(generation, touched, start, end, now_ns, None)
        generation.last_row = LastRow(place, touched, end)
        return touched

    def replace_write(self, place: int, touched: int, start: int, data: bytes, now_ns: int) -> bool:
        """Give the small write at `place` other bytes, if its row is of exactly that range."""
        row = self._database.execute(
            "UPDATE overlay_log SET touched = ?, at_ns = ?, data = ? "
            "WHERE place = ? AND start_at = ? AND end_at = ?",
            (touched, now_ns, data, place, start, start + len(data)),
        )
        return row.rowcount == 1

    def forget_small_writes(self, generation_id: int) -> None:
        self._database.execute(
            "DELETE FROM overlay_log WHERE place BETWEEN ? AND ? AND data IS NOT NULL",
            places_of(generation_id),
        )

    def _add_loaded(self, overlay: Overlay, generation: Generation) -> None:
        generation.is_frozen = True
        generation.is_promised = True  # nobody knows any more
        mtime_ns = self._replay(generation)
        if generation.touched:
            overlay.touched, overlay.mtime_ns = generation.touched, mtime_ns
        overlay.generations.append(generation)

    def _replay(self, generation: Generation) -> int:
        """Bring `generation`, as its own row has it, to where its log ends.

        Returns its time of change in Unix ns; 0 when nothing was done to it. Raises
        `StateDamaged` for a row that no write made.
        """
        mtime_ns = 0
        rows = self._database.execute(
            "SELECT place, touched, start_at, end_at, at_ns, length(data) FROM overlay_log "
            "WHERE place BETWEEN ? AND ? ORDER BY place",
            places_of(generation.generation_id),
        )
        for place, touched, start, end, at_ns, data_length in rows.fetchall():
            if not is_sensible(LogRow(place, start, end, data_length)):
                raise StateDamaged(f"the row {place} of what was written makes no sense")
            if end is None:
                replay_truncation(generation, start)
            elif data_length is None:
                generation.is_staged = True
                generation.extents.cover(start, end, STAGED)
                generation.size_bytes = max(generation.size_bytes, end)
            else:
                generation.small_bytes += data_length
                generation.extents.cover(start, end, place, start)
                generation.size_bytes = max(generation.size_bytes, end)
            generation.rows_count = place & _LAST_ROW
            generation.first_touched = min(generation.first_touched or touched, touched)
            if touched > generation.touched:
                generation.touched, mtime_ns = touched, at_ns
        return mtime_ns

    def _add(
        self,
        generation: Generation,
        touched: int,
        start: int,
        end: int | None,
        now_ns: int,
        data: bytes | None,
    ) -> int:
        place = generation.generation_id << _ROW_BITS | (generation.rows_count + 1)
        self._database.execute(
            "INSERT INTO overlay_log (place, touched, start_at, end_at, at_ns, data) "
            "VALUES (?,?,?,?,?,?)",
            (place, touched, start, end, now_ns, data),
        )
        generation.rows_count += 1
        return place


def replay_truncation(generation: Generation, size_bytes: int) -> None:
    """Bytes behind `size_bytes` are gone, also those of the layers below."""
    generation.extents.truncate(size_bytes)
    generation.visible_below_bytes = min(generation.visible_below_bytes, size_bytes)
    generation.size_bytes = size_bytes


def places_of(generation_id: int) -> tuple[int, int]:
    """Return the first and the last place that rows of a generation may have. Pure."""
    first = generation_id << _ROW_BITS
    return first, first | _LAST_ROW
