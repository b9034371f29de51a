"""After a power loss: bytes that nobody asked to be durable may be anything.

A row of `overlay_log` can outlive the staged bytes that it speaks of, for the log of rows is
synced more often than the files. Such bytes are never sent and never shown: they go to a copy in
the state folder's `recovered/`, where a person can look at them, and the file is as its last
fsync(2) left it. SIGKILL loses nothing and needs none of this.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mountfs.state.database import Database
from mountfs.state.overlay_rows import places_of

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_COPY_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class RecoveredCopy:
    """Bytes of a file of the drive that were never synced: sparse, at their offsets."""

    node_id: int
    path: Path


def current_boot_id() -> str:
    """Return what names this run of the machine; empty where the system does not tell."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


def is_unclean_stop(database: Database, boot_id: str) -> bool:
    """Whether the machine stopped since the state was last open, without a word."""
    row = database.execute("SELECT value FROM meta WHERE key = 'boot_id'").fetchone()
    return row is not None and bool(row[0]) and bool(boot_id) and row[0] != boot_id


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
            recovered_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            copy = RecoveredCopy(node_id, recovered_folder / f"{node_id}-{generation_id}")
            copies[generation_id] = copy
        _copy_range(staging_folder / str(generation_id), copy.path, start, end)
    with database.transaction():
        for generation_id in copies:
            database.execute(
                "DELETE FROM overlay_log WHERE place BETWEEN ? AND ? AND data IS NULL "
                "AND end_at IS NOT NULL AND touched > "
                "(SELECT synced_through FROM generation WHERE generation_id = ?)",
                (*places_of(generation_id), generation_id),
            )
    return list(copies.values())


def find_recovered(recovered_folder: Path) -> list[RecoveredCopy]:
    """Return the copies that nobody has taken or removed yet, oldest first."""
    if not recovered_folder.is_dir():
        return []
    named = [
        (int(generation), RecoveredCopy(int(node), path))
        for path in recovered_folder.iterdir()
        for node, _, generation in [path.name.partition("-")]
        if node.isdigit() and generation.isdigit()
    ]
    return [copy for _, copy in sorted(named, key=lambda item: item[0])]


def _copy_range(source: Path, target: Path, start: int, end: int) -> None:
    try:
        reader = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # the file itself was lost with the power
    writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while start < end:
            data = os.pread(reader, min(end - start, _COPY_BYTES), start)
            if not data:
                break
            os.pwrite(writer, data, start)
            start += len(data)
        os.fsync(writer)
    finally:
        os.close(reader)
        os.close(writer)
