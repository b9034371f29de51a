"""Looks at a state that nobody has open, and changes nothing: what a check decides on.

Reads the files as they are, also what a killed process left in the write-ahead log. The caller
holds the state folder's lock.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mountfs.core.findings import Finding, FindingKind
from mountfs.core.mirror_laws import Key, path_in, shown
from mountfs.core.overlay_laws import GenerationFacts, LogRow, OverlayFacts
from mountfs.errors import LocalStorageBroken
from mountfs.state.database import SCHEMA_VERSION, is_damage
from mountfs.state.mirror import NODE_COLUMNS, is_layered, tables_shown
from mountfs.state.records import NodeRecord
from mountfs.state.recovery import current_boot_id, is_other_boot
from mountfs.state.seals import find_spoilt
from mountfs.state.staging import staging_sizes

_FACTS_SHOWN_MAX: Final = 3
_IS_TRUSTED: Final = (
    "(data IS NOT NULL OR end_at IS NULL OR touched <= coalesce(synced_through, touched))"
)


@dataclass(frozen=True, slots=True)
class StateFacts:
    """What the rows and files of one drive's state say.

    Args:
        dentries: The mirror's: to the node, and whether they call it a folder.
        local_dentries: Those changed here.
    """

    cursor: str
    nodes: Mapping[int, NodeRecord]
    dentries: Mapping[Key, tuple[int, bool]]
    local_dentries: Mapping[Key, int]
    overlays: OverlayFacts

    def paths(self) -> dict[int, str]:
        """Return where in the drive files are that were written here, by node, for a person."""
        merged = {key: node_id for key, (node_id, _) in self.dentries.items()}
        merged.update(self.local_dentries)
        names = {node_id: key for key, node_id in merged.items()}
        nodes = {generation.node_id for generation in self.overlays.generations} - {0}
        return {node_id: shown(path_in(names, node_id)) for node_id in nodes}


def inspect_state(folder: Path, *, place: str) -> StateFacts | list[Finding]:
    """Return what is in the state in `folder`, or what is so wrong that it cannot be told.

    Args:
        place: Of the state's folder, for the findings.

    Raises:
        LocalStorageBroken: The disk does not let us read it, which says nothing about what it is.
    """
    path = folder / "state.db"
    if missing := _find_missing(folder, place):
        return missing
    try:
        with _read_only(path) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != SCHEMA_VERSION:
                return [_other_version(version, f"{place}/state.db")]
            rows = connection.execute("PRAGMA integrity_check").fetchall()
            contradictions = [str(text) for (text,) in rows if text != "ok"]
            if contradictions:
                return [_damaged("; ".join(contradictions[:_FACTS_SHOWN_MAX]), place)]
            return _load(connection, folder)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise LocalStorageBroken(f"{path} cannot be read: {error}") from error
        return [_damaged(str(error), place)]
    except (ValueError, TypeError) as error:
        # Values of other types than the schema says are damage too.
        return [_damaged(str(error), place)]


def has_state(folder: Path) -> bool:
    """Whether there is, or was, a state in `folder`."""
    names = ("state.db", "state.db-wal")
    return any((folder / name).exists() for name in names) or bool(staging_sizes(folder))


def _find_missing(folder: Path, place: str) -> list[Finding]:
    path = folder / "state.db"
    if path.exists() and path.stat().st_size:
        return []
    what = "is empty" if path.exists() else "is gone"
    return [
        Finding(FindingKind.STATE_MISSING, f"{place}/state.db", f"the database of the state {what}")
    ]


def _damaged(reason: str, place: str) -> Finding:
    return Finding(
        FindingKind.STATE_DAMAGED, f"{place}/state.db", f"the database is damaged: {reason}"
    )


def _other_version(version: int, place: str) -> Finding:
    if not version:
        return Finding(FindingKind.STATE_DAMAGED, place, "the database has no tables of ours")
    return Finding(
        FindingKind.STATE_OTHER_VERSION,
        place,
        f"the state is of version {version}, this program of version {SCHEMA_VERSION}: "
        + ("mount once, which upgrades it" if version < SCHEMA_VERSION else "use a newer mountfs"),
        is_repairable=False,
    )


@contextmanager
def _read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that changes nothing: SQLite's helper files go if they were not there."""
    helpers = [path.with_name(f"{path.name}-{kind}") for kind in ("wal", "shm")]
    made = [helper for helper in helpers if not helper.exists()]
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            yield connection
    finally:
        for helper in made:
            helper.unlink(missing_ok=True)


def _load(connection: sqlite3.Connection, folder: Path) -> StateFacts:
    execute = connection.execute
    cursor = execute("SELECT value FROM meta WHERE key = 'cursor'").fetchone()
    node, dentry = tables_shown(is_layered=is_layered(connection))
    return StateFacts(
        cursor=str(cursor[0]) if cursor else "",
        nodes={
            row[0]: NodeRecord._make(row) for row in execute(f"SELECT {NODE_COLUMNS} FROM {node}")
        },
        dentries={
            (parent, bytes(name)): (node_id, bool(is_folder))
            for parent, name, node_id, is_folder in execute(
                f"SELECT parent, name, node_id, is_folder FROM {dentry}"
            )
        },
        local_dentries={
            (parent, bytes(name)): node_id
            for parent, name, node_id in execute("SELECT parent, name, node_id FROM local_dentry")
        },
        overlays=_load_overlays(connection, folder),
    )


def _is_unclean_stop(connection: sqlite3.Connection) -> bool:
    row = connection.execute("SELECT value FROM meta WHERE key = 'boot_id'").fetchone()
    return is_other_boot("" if row is None else str(row[0]), current_boot_id())


def _load_overlays(connection: sqlite3.Connection, folder: Path) -> OverlayFacts:
    execute = connection.execute
    sizes = staging_sizes(folder)
    rows: defaultdict[int, list[LogRow]] = defaultdict(list)
    # What a stop of the machine may have spoilt is not damage: the next opening sets it aside.
    is_trusted = "1" if not _is_unclean_stop(connection) else _IS_TRUSTED
    for place, start, end, length in execute(
        f"SELECT place, start_at, end_at, length(data) FROM overlay_log LEFT JOIN generation "
        f"ON generation_id = place >> 32 WHERE {is_trusted} ORDER BY place"
    ):
        rows[place >> 32].append(LogRow(place, start, end, length))
    generations = [
        GenerationFacts(
            generation_id,
            node_id,
            size_bytes,
            visible_below_bytes,
            rows[generation_id],
            sizes.get(generation_id),
            find_spoilt(folder / "staging" / str(generation_id)),
        )
        for generation_id, node_id, size_bytes, visible_below_bytes in execute(
            "SELECT generation_id, node_id, size_bytes, visible_below_bytes FROM generation "
            "ORDER BY generation_id"
        ).fetchall()
    ]
    known = {generation.generation_id for generation in generations}
    nodes = {node_id for (node_id,) in execute("SELECT node_id FROM overlay")}
    strays = {
        generation_id: kept for generation_id, kept in rows.items() if generation_id not in known
    }
    return OverlayFacts(nodes, generations, strays, sizes)
