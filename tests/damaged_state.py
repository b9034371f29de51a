"""A device's state with something of everything in it, and ways to damage it."""

import functools
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import trio

from backend_server.protocol.identity import DriveId
from backend_server.protocol.tree_messages import DentryState, NodeKind, NodeState
from cache import BlockCache
from cache.store import Store
from mountfs.app.check import Checked, CheckPlan, check_device
from mountfs.app.check_access import keep_mounts_away
from mountfs.app.device import load_device_key
from mountfs.app.state_folder import StateFolder
from mountfs.core.findings import FindingKind
from mountfs.state.recovered_copies import find_recovered
from mountfs.state.store import StateStore
from mountfs.state.tree import source_of

DRIVE = DriveId("00000000000000d1")
FOLDER, LETTER, PHOTO, NOTE = 1 << 20, (1 << 20) + 1, (1 << 20) + 2, (1 << 20) + 3
BLOCK = 64 * 1024
CACHE_LIMIT_BYTES = 16 << 20
CHUNKS = [(bytes([nth]) * 32, bytes([nth]) * 150_000) for nth in range(4)]

NODES = [
    NodeState(1, 1, NodeKind.FOLDER, mode=0o755),
    NodeState(FOLDER, 2, NodeKind.FOLDER, mode=0o755),
    NodeState(LETTER, 3, NodeKind.FILE, mode=0o644, size_bytes=5, revision=3, manifest_id=b"m"),
    NodeState(PHOTO, 4, NodeKind.FILE, mode=0o644, size_bytes=9, revision=4, manifest_id=b"n"),
]
DENTRIES = [
    DentryState(1, b"docs", FOLDER, 2),
    DentryState(FOLDER, b"letter", LETTER, 3),
    DentryState(FOLDER, b"photo", PHOTO, 4),
]


@dataclass(frozen=True)
class DamagedState:
    """The state of one device that is not mounted.

    `letter` was committed and written over in a staging file, three blocks long; `note` was made
    here, of one small write.
    """

    folder: StateFolder

    @property
    def drive(self) -> Path:
        return self.folder.drive(DRIVE)

    @property
    def database(self) -> Path:
        return self.drive / "state.db"

    @property
    def cache_file(self) -> Path:
        return self.folder.cache / "data.mdb"

    def open(self) -> StateStore:
        return StateStore.open(self.drive, DRIVE)

    def staging_file(self, nth: int = 0) -> Path:
        files = [path for path in (self.drive / "staging").iterdir() if path.name.isdigit()]
        return sorted(files, key=lambda path: int(path.name))[nth]

    def sql(self, *statements: str) -> None:
        """Change rows behind everybody's back."""
        with closing(sqlite3.connect(self.database, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    def open_cache(self) -> BlockCache:
        return BlockCache.open(
            self.folder.cache,
            device_key=load_device_key(self.folder),
            limit_bytes=CACHE_LIMIT_BYTES,
        )

    def check(self, *, is_repair: bool = False) -> Checked:
        """Check without a server."""
        plan = CheckPlan(self.folder, is_quick=True, is_repair=is_repair)
        with keep_mounts_away(self.folder):
            return trio.run(functools.partial(check_device, plan, lambda _: None))

    def copies(self) -> dict[str, bytes]:
        """Return path in the drive to the recovered bytes, of every copy."""
        found = find_recovered(self.drive / "recovered")
        return {copy.known_path: copy.path.read_bytes() for copy in found}

    def files(self) -> dict[str, tuple[int, int, bytes]]:
        """Every file with when it changed and what is in it."""
        return {
            str(path.relative_to(self.folder.path)): (
                path.stat().st_size, path.stat().st_mtime_ns, path.read_bytes(),
            )
            for path in self.folder.path.rglob("*")
            if path.is_file()
        }  # fmt: skip


def make_state(folder: Path) -> DamagedState:
    """Return a whole state; damaging it is the test's part."""
    made = DamagedState(StateFolder(folder))
    made.folder.ensure()
    load_device_key(made.folder)
    state = made.open()
    with state.database.transaction():
        state.mirror.apply(NODES, DENTRIES)
        state.set_value("cursor", "a cursor")
    letter = state.mirror.node(LETTER)
    assert letter is not None
    overlay = state.overlays.begin(LETTER, expected_revision=3, source=source_of(letter))
    for nth in range(3):
        state.overlays.write(overlay, nth * BLOCK, bytes([65 + nth]) * BLOCK, now_ns=nth)
    state.tree.create(letter._replace(node_id=NOTE, revision=0, manifest_id=b"", size_bytes=0))
    state.tree.set_child(1, b"note", NOTE)
    note = state.overlays.begin(NOTE, expected_revision=0, source=None)
    state.overlays.write(note, 0, b"a small thing", now_ns=9)
    state.close()
    cache = made.open_cache()
    assert cache.put_many("home", CHUNKS) == len(CHUNKS)
    cache.close()
    (made.folder.path / "lock").touch()
    return made


def truncate(path: Path, size_bytes: int) -> None:
    os.truncate(path, size_bytes)


def flip_bit(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (old,) = file.read(1)
        file.seek(at)
        file.write(bytes([old ^ 1]))


def flip_after(path: Path, pattern: bytes) -> None:
    """Flip a bit of the first place where `pattern` is found, behind it."""
    at = path.read_bytes().index(pattern)
    flip_bit(path, at + len(pattern))


Damage = Callable[[DamagedState], object]
PLACE = f"drives/{DRIVE}"


def _flip_in_the_middle(state: DamagedState) -> None:
    # The first page has the schema; a flip in its text, or in a table's root, is never legal.
    flip_bit(state.database, 4096 + 3)


def _damage_cached_value(state: DamagedState) -> None:
    store = Store.open(state.folder.cache, map_bytes=64 << 20)
    with store.reading() as transaction:
        key, value = next(
            (key, value) for key, value in transaction.scan(b"items") if CHUNKS[2][0] in key
        )
    with store.writing() as transaction:
        transaction.put(b"items", key, value[:-1] + bytes([value[-1] ^ 1]))
    store.close()


def _damage_ledger(state: DamagedState) -> None:
    store = Store.open(state.folder.cache, map_bytes=64 << 20)
    with store.writing() as transaction:
        for key, value in list(transaction.scan(b"totals")):
            transaction.put(b"totals", key, value[:-1] + bytes([value[-1] ^ 1]))
    store.close()


def damages_of(*kinds: FindingKind) -> list[str]:
    """Return the names of the damages that show themselves as one of `kinds`."""
    return [name for name, (_, kind, _) in DAMAGES.items() if kind in kinds]


DAMAGES: dict[str, tuple[Damage, FindingKind, str]] = {
    "state.db is gone": (
        lambda state: state.database.unlink(), FindingKind.STATE_MISSING, f"{PLACE}/state.db"
    ),
    "state.db is empty": (
        lambda state: truncate(state.database, 0), FindingKind.STATE_MISSING, f"{PLACE}/state.db"
    ),
    "state.db is cut off": (
        lambda state: truncate(state.database, state.database.stat().st_size // 2),
        FindingKind.STATE_DAMAGED,
        f"{PLACE}/state.db",
    ),
    "state.db is garbage": (
        lambda state: state.database.write_bytes(b"garbage" * 9999),
        FindingKind.STATE_DAMAGED,
        f"{PLACE}/state.db",
    ),
    "state.db has a flipped bit": (
        _flip_in_the_middle, FindingKind.STATE_DAMAGED, f"{PLACE}/state.db"
    ),
    "state.db is of tomorrow": (
        lambda state: state.sql("PRAGMA user_version = 99"),
        FindingKind.STATE_OTHER_VERSION,
        f"{PLACE}/state.db",
    ),
    "a name leads nowhere": (
        lambda state: state.sql(f"DELETE FROM node WHERE node_id = {PHOTO}"),
        FindingKind.MIRROR_UNLAWFUL,
        f"{PLACE}/state.db",
    ),
    "a node has no name": (
        lambda state: state.sql(f"DELETE FROM dentry WHERE node_id = {PHOTO}"),
        FindingKind.MIRROR_UNLAWFUL,
        f"{PLACE}/state.db",
    ),
    "a folder has two names": (
        lambda state: state.sql(f"INSERT INTO dentry VALUES (1, x'78', {FOLDER}, 1)"),
        FindingKind.MIRROR_UNLAWFUL,
        f"{PLACE}/state.db",
    ),
    "a folder is taken for a file": (
        lambda state: state.sql(f"UPDATE dentry SET is_folder = 0 WHERE node_id = {FOLDER}"),
        FindingKind.MIRROR_UNLAWFUL,
        f"{PLACE}/state.db",
    ),
    "a staging file is cut off": (
        lambda state: truncate(state.staging_file(), BLOCK + 10),
        FindingKind.STAGED_BYTES_LOST,
        "docs/letter",
    ),
    "a staging file is gone": (
        lambda state: state.staging_file().unlink(),
        FindingKind.STAGED_BYTES_LOST,
        "docs/letter",
    ),
    "a staging file has a flipped bit": (
        lambda state: flip_bit(state.staging_file(), BLOCK + 10),
        FindingKind.STAGED_BYTES_LOST,
        "docs/letter",
    ),
    "a staging file of nobody": (
        lambda state: (state.drive / "staging" / "777").write_bytes(b"whose?"),
        FindingKind.STAGING_UNCLAIMED,
        f"{PLACE}/staging/777",
    ),
    "an overlay is gone, its bytes are not": (
        lambda state: state.sql(f"DELETE FROM overlay WHERE node_id = {LETTER}"),
        FindingKind.OVERLAY_UNLAWFUL,
        "docs/letter",
    ),
    "a generation is gone, its rows are not": (
        lambda state: state.sql(f"DELETE FROM generation WHERE node_id = {NOTE}"),
        FindingKind.OVERLAY_UNLAWFUL,
        PLACE,
    ),
    "a row makes no sense": (
        lambda state: state.sql("UPDATE overlay_log SET end_at = 2 WHERE data IS NOT NULL"),
        FindingKind.OVERLAY_UNLAWFUL,
        "note",
    ),
    "the cache is gone": (
        lambda state: state.cache_file.unlink(), FindingKind.CACHE_UNUSABLE, "cache/data.mdb"
    ),
    "the cache is cut off": (
        lambda state: truncate(state.cache_file, 20_000),
        FindingKind.CACHE_UNUSABLE,
        "cache/data.mdb",
    ),
    "the cache is garbage": (
        lambda state: state.cache_file.write_bytes(b"\xff" * state.cache_file.stat().st_size)
       ,
        FindingKind.CACHE_UNUSABLE,
        "cache/data.mdb",
    ),
    "a cached value is damaged": (
        _damage_cached_value, FindingKind.CACHE_VALUE_DAMAGED, "cache/data.mdb"
    ),
    "the cache counts wrong": (_damage_ledger, FindingKind.CACHE_UNLAWFUL, "cache/data.mdb"),
}  # fmt: skip
