"""The rows of `overlay_log`: what was done to each generation, in order.

Replayed after a crash they give the same extents. A row that is there has its bytes in place:
they were written before it (SIGKILL), or `synced_through` says so (power loss).
"""

from typing import Final

from mountfs.core.extents import STAGED
from mountfs.state.database import Database
from mountfs.state.overlay import Generation, LastRow

_ROW_BITS: Final = 32
_LAST_ROW: Final = (1 << _ROW_BITS) - 1


class OverlayLog:
    """One thread: the event loop's. Raises what `Database.execute` raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

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

    def forget(self, generation_id: int) -> None:
        """Remove all rows of a generation."""
        self._database.execute(
            "DELETE FROM overlay_log WHERE place BETWEEN ? AND ?", places_of(generation_id)
        )

    def replay(self, generation: Generation) -> int:
        """Bring `generation`, as its own row has it, to where its log ends.

        Returns its time of change in Unix ns; 0 when nothing was done to it.
        """
        mtime_ns = 0
        rows = self._database.execute(
            "SELECT place, touched, start_at, end_at, at_ns, length(data) FROM overlay_log "
            "WHERE place BETWEEN ? AND ? ORDER BY place",
            places_of(generation.generation_id),
        )
        for place, touched, start, end, at_ns, data_length in rows.fetchall():
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
