"""A device's state with something of everything in it, and ways to damage it."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from backend_server.protocol.identity import DriveId
from backend_server.protocol.messages import DentryState, NodeKind, NodeState
from cache import BlockCache
from mountfs.app.device import load_device_key
from mountfs.app.state_folder import StateFolder
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
        return sorted((self.drive / "staging").iterdir(), key=lambda path: int(path.name))[nth]

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
