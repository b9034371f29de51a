"""After a power loss: bytes that nobody asked to be durable may be anything.

A row of `overlay_log` can outlive the staged bytes that it speaks of, for the log of rows is
synced more often than the files. Such bytes are never sent and never shown: they go to a copy in
the state folder's `recovered/`, where a person can look at them, and the file is as its last
fsync(2) left it. SIGKILL loses nothing and needs none of this.
"""

from pathlib import Path
from typing import Final

from mountfs.state.database import Database
from mountfs.state.overlay_rows import places_of
from mountfs.state.recovered_copies import RecoveredCopy, copy_path, copy_range

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def current_boot_id() -> str:
    """Return what names this run of the machine; empty where the system does not tell."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


def is_unclean_stop(database: Database, boot_id: str) -> bool:
    """Whether the machine stopped since the state was last open, without a word."""
    row = database.execute("SELECT value FROM meta WHERE key = 'boot_id'").fetchone()
    return row is not None and is_other_boot(str(row[0]), boot_id)


def is_other_boot(marked: str, boot_id: str) -> bool:
    """Whether a state marked as open in the boot `marked` (empty: in none) outlived it. Pure."""
    return bool(marked) and bool(boot_id) and marked != boot_id


def mark_open(database: Database, boot_id: str) -> None:
    database.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('boot_id', ?)", (boot_id,))


def mark_clean(database: Database) -> None:
    """Everything is on the platter: the next boot may trust it."""
    database.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('boot_id', '')")


def set_untrusted_aside(
    database: Database, staging_folder: Path, recovered_folder: Path
) -> list[RecoveredCopy]:
    """Move staged bytes that were never synced into copies, and forget their rows.

    Idempotent: a copy is complete before its rows go.
    """
    rows = database.execute(
        "SELECT generation_id, node_id, start_at, end_at FROM overlay_log "
        "JOIN generation ON generation_id = place >> 32 "
        "WHERE data IS NULL AND end_at IS NOT NULL AND node_id != 0 "
        "AND touched > synced_through ORDER BY place"
    ).fetchall()
    copies: dict[int, RecoveredCopy] = {}
    for generation_id, node_id, start, end in rows:
        copy = copies.get(generation_id)
        if copy is None:
            copy = RecoveredCopy(node_id, copy_path(recovered_folder, node_id, generation_id))
            copies[generation_id] = copy
        copy_range(staging_folder / str(generation_id), copy.path, start, end)
    with database.transaction():
        for generation_id in copies:
            database.execute(
                "DELETE FROM overlay_log WHERE place BETWEEN ? AND ? AND data IS NULL "
                "AND end_at IS NOT NULL AND touched > "
                "(SELECT synced_through FROM generation WHERE generation_id = ?)",
                (*places_of(generation_id), generation_id),
            )
    return list(copies.values())
