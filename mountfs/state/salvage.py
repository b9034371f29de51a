"""Begins a state anew where its database cannot be opened, and loses nothing that can be read.

    recovered/NODE-GENERATION     what was written here and can be read: see recovered_copies
    recovered/state-DATE/         the old database and the staging files, as they were

The mirror comes anew from the server. Changes of names and attributes that the server did not have
are lost with the database, but for what a person can read out of the old one.
"""

import os
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mountfs.core.mirror_laws import Key, path_in, shown
from mountfs.state.recovered_copies import copy_path, note_path, put_bytes
from mountfs.state.set_aside import claim_file
from mountfs.state.staging import staging_sizes

_DATABASE_FILES: Final = ("state.db", "state.db-wal", "state.db-shm")


@dataclass(slots=True)
class Salvaged:
    """What of a broken database can be read: maybe nothing.

    Args:
        nodes: Generation to the node that it is of.
        small_writes: Generation to (start, data), in order.
        names: Node to one (parent, name) that leads to it.
    """

    nodes: dict[int, int] = field(default_factory=dict)
    small_writes: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)
    names: dict[int, Key] = field(default_factory=dict)


def begin_anew(folder: Path, *, now_s: float) -> tuple[Path, list[Path]]:
    """Set the state in `folder` aside, so that the next opening makes a new one.

    Idempotent: after a crash in between, again does the rest. Returns where the old state is now,
    and the recovered copies.
    """
    copies = _make_copies(folder, salvage(folder / "state.db"))
    date = time.strftime("%Y-%m-%d-%H%M%S", time.gmtime(now_s))
    kept = folder / "recovered" / f"state-{date}"
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The staging files first: without its database the state would be taken for a new one.
    for name in ("staging", *_DATABASE_FILES[::-1]):
        with suppress(FileNotFoundError):
            (folder / name).rename(kept / name)
    _sync_folder(kept)
    _sync_folder(folder)
    return kept, copies


def salvage(path: Path) -> Salvaged:
    """Return what can be read of a broken database. Changes nothing in its tables."""
    found = Salvaged()
    if not path.exists() or not path.stat().st_size:
        return found
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with suppress(sqlite3.DatabaseError):
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            # SQLite then reads what there is of a file that is shorter than it should be.
            connection.execute("PRAGMA writable_schema = ON")
            _read(connection, found)
    return found


def _read(connection: sqlite3.Connection, found: Salvaged) -> None:
    for generation_id, node_id in _rows(connection, "generation_id, node_id", "generation"):
        found.nodes[generation_id] = node_id
    writes: defaultdict[int, dict[int, tuple[int, bytes]]] = defaultdict(dict)
    for place, start, data in _rows(connection, "place, start_at, data", "overlay_log"):
        if isinstance(data, bytes) and isinstance(start, int) and start >= 0:
            writes[place >> 32][place] = (start, data)
    found.small_writes = {
        generation_id: [kept[place] for place in sorted(kept)]
        for generation_id, kept in writes.items()
    }
    # The later one's word counts. What was only being gathered is better than no name.
    below = ["dentry", "next_dentry"]
    is_shown = any(key == "shown_mirror" for (key,) in _rows(connection, "key", "meta"))
    for table in (*(below if is_shown else reversed(below)), "local_dentry"):
        for parent, name, node_id in _rows(connection, "parent, name, node_id", table):
            if node_id and isinstance(name, bytes):
                found.names[node_id] = (parent, name)


def _rows(connection: sqlite3.Connection, columns: str, table: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows up to the first that cannot be read, from the front and from the back."""
    first = columns.partition(",")[0]
    for order in ("ASC", "DESC"):
        try:
            yield from connection.execute(f"SELECT {columns} FROM {table} ORDER BY {first} {order}")
        except sqlite3.DatabaseError:
            continue
        return


def _make_copies(folder: Path, found: Salvaged) -> list[Path]:
    copies: dict[Path, int] = {}
    for generation_id in staging_sizes(folder):
        node_id = found.nodes.get(generation_id, 0)
        copies[claim_file(folder, generation_id, node_id=node_id, keeps=True)] = node_id
    for generation_id, writes in found.small_writes.items():
        node_id = found.nodes.get(generation_id, 0)
        copy = copy_path(folder / "recovered", node_id, generation_id)
        if copy in copies:
            continue  # what has a staging file has all its bytes there
        for start, data in writes:
            put_bytes(copy, start, data)
        copies[copy] = node_id
    for copy, node_id in copies.items():
        if node_id:
            note_path(copy, shown(path_in(found.names, node_id)))
    return sorted(copies)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
