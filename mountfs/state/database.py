"""The SQLite door of the client: one connection, transactions that nest, durability on demand.

WAL with synchronous=NORMAL: a commit costs about 15 µs and survives SIGKILL. What must survive
power loss calls `make_durable`, which syncs the write-ahead log's file and with it every commit
before (https://www.sqlite.org/wal.html): 110 µs here, and callers that come together share one.
The file is ours alone, so SQLite need not lock and unlock it around every statement.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Final

from mountfs.errors import LocalStorageBroken, LocalStorageFull, SetupError, StateDamaged
from mountfs.state.staging import staging_sizes

SCHEMA_VERSION: Final = 4
_SCRIPTS: Final = {
    0: ("schema.sql",),
    1: ("upgrade_1_to_2.sql", "upgrade_2_to_3.sql", "upgrade_3_to_4.sql"),
    2: ("upgrade_2_to_3.sql", "upgrade_3_to_4.sql"),
    3: ("upgrade_3_to_4.sql",),
}
"""By the version that a file has: what makes it one of SCHEMA_VERSION."""
_SETTINGS: Final = """
    PRAGMA locking_mode=EXCLUSIVE;
    PRAGMA journal_mode=WAL;
    PRAGMA synchronous=NORMAL;
    PRAGMA secure_delete=FAST;  -- some systems' SQLite writes freed pages again, as zeros
    PRAGMA temp_store=MEMORY;
    PRAGMA cache_size=-16384;
    PRAGMA wal_autocheckpoint=4000;
"""
_FULL: Final = (sqlite3.SQLITE_FULL,)
_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
"""SQLITE_ERROR: tables are not what they should be. A disk that fails or is full is none of it."""


class Rows(sqlite3.Cursor):
    """A cursor whose rows raise what `Database.execute` raises: a broken page shows itself when
    the row in it is asked for."""

    def fetchone(self) -> Any:
        try:
            return super().fetchone()
        except sqlite3.DatabaseError as error:
            raise _translated(error) from error

    def fetchall(self) -> list[Any]:
        try:
            return super().fetchall()
        except sqlite3.DatabaseError as error:
            raise _translated(error) from error

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except sqlite3.DatabaseError as error:
            raise _translated(error) from error


class Database:
    """Not to be shared between threads, but for `make_durable`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with ExitStack() as on_failure:
            try:
                self._connection = sqlite3.connect(
                    path, isolation_level=None, check_same_thread=False, cached_statements=256
                )
                on_failure.callback(self._connection.close)
                self._connection.executescript(_SETTINGS)
                self._upgrade()
            except sqlite3.DatabaseError as error:
                if is_damage(error):
                    raise state_damaged(path, str(error)) from error
                raise SetupError(
                    f"the state in {path} cannot be opened: {error}",
                    remedy="check the disk; `mountfs doctor` tells more",
                ) from error
            self._wal = _opened(f"{path}-wal")
            on_failure.pop_all()
        self._depth = 0
        self.on_rollback: Callable[[], None] = lambda: None
        """Called when a transaction was undone: what mirrors rows in memory reads them again."""
        self._rows_changed = self._rows_counted = 0
        self._when_done: list[Callable[[], None]] = []
        self._if_undone: list[Callable[[], None]] = []

    def _upgrade(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == SCHEMA_VERSION:
            return
        script_names = _SCRIPTS.get(version)
        if script_names is None:
            raise SetupError(
                f"the state in {self.path} is of version {version}, this program of version "
                f"{SCHEMA_VERSION}",
                remedy="use the mountfs that wrote it",
            )
        folder = resources.files(__package__)
        script = "\n".join(folder.joinpath(name).read_text("utf-8") for name in script_names)
        self._connection.executescript(
            f"BEGIN IMMEDIATE; {script} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
        )

    def execute(self, statement: str, parameters: tuple[Any, ...] = ()) -> Rows:
        """Run one statement.

        Raises:
            LocalStorageFull: The disk is full; the transaction is to be given up.
            LocalStorageBroken: The disk or the file fails.
        """
        try:
            return self._connection.cursor(Rows).execute(statement, parameters)
        except sqlite3.DatabaseError as error:
            raise _translated(error) from error

    def execute_many(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        """Run one statement for each row. Raises like `execute`."""
        try:
            self._connection.executemany(statement, rows)
        except sqlite3.DatabaseError as error:
            raise _translated(error) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is done inside happen together, or not at all. Joins an outer one.

        What memory and files have to do with it is told by `when_done` and `if_undone`.
        """
        if self._depth:
            yield
            return
        self.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            self._depth = 0
            self._when_done.clear()
            if self._connection.in_transaction:
                self._connection.rollback()
            _call_all(self._if_undone, latest_first=True)
            self.on_rollback()
            raise
        self._depth = 0
        self._if_undone.clear()
        _call_all(self._when_done)

    def when_done(self, action: Callable[[], None]) -> None:
        """Call `action` behind the COMMIT of the transaction around; at once outside of one."""
        if self._depth:
            self._when_done.append(action)
        else:
            action()

    def if_undone(self, action: Callable[[], None]) -> None:
        """Call `action` if the transaction around is undone, before `on_rollback`."""
        if self._depth:
            self._if_undone.append(action)

    def last_generation(self) -> int:
        """Return the highest number that any generation was ever given."""
        (last,) = self.execute(
            "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'generation'"
        ).fetchone()
        return int(last)

    def count_generations_from(self, number: int) -> None:
        """Give no generation a number up to `number` any more."""
        if self.last_generation() < number:
            self.execute("DELETE FROM sqlite_sequence WHERE name = 'generation'")
            self.execute(
                "INSERT INTO sqlite_sequence (name, seq) VALUES ('generation', ?)", (number,)
            )

    @property
    def rows_changed(self) -> int:
        """Grows with every row that is written; unchanged: there is nothing new to sync."""
        # SQLite counts in 32 bits, of which a month of hard work can make use.
        counted = self._connection.total_changes
        self._rows_changed += (counted - self._rows_counted) & 0xFFFFFFFF
        self._rows_counted = counted
        return self._rows_changed

    def make_durable(self) -> None:
        """Put every commit so far on the platter. Blocks; for a worker thread."""
        try:
            os.fdatasync(self._wal)
        except OSError as error:
            raise LocalStorageBroken(f"cannot sync {self.path}: {error}") from error

    def close(self) -> None:
        self._connection.close()
        os.close(self._wal)


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether a database is not what it should be, and will not be at the next try. Pure."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _DAMAGE


def find_lost_database(folder: Path) -> str:
    """Return why no new database may be begun in `folder`; empty if it may, or one is there.

    SQLite throws a write-ahead log away that has no database, and what is staged without rows
    would be nobody's.
    """
    path = folder / "state.db"
    if path.exists() and path.stat().st_size:
        return ""
    what = "is empty" if path.exists() else "is gone"
    log = folder / "state.db-wal"
    if log.exists() and log.stat().st_size:
        return f"{path.name} {what}, though its log is there"
    if staging_sizes(folder):
        return f"{path.name} {what}, though bytes that were written here are there"
    return ""


def state_damaged(path: Path, reason: str) -> SetupError:
    """Return the error of a state that cannot be used as it is."""
    return SetupError(
        f"the state in {path} is damaged: {reason}",
        remedy="`mountfs check` tells what is wrong; `mountfs check --repair` begins it anew, "
        "and keeps what was written here and can be read",
    )


def _call_all(actions: list[Callable[[], None]], *, latest_first: bool = False) -> None:
    waiting = actions[::-1] if latest_first else actions[:]
    actions.clear()
    for action in waiting:
        action()


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise SetupError(
            f"{path} cannot be opened: {error}", remedy="check the disk and the folder's owner"
        ) from error


def _translated(error: sqlite3.DatabaseError) -> Exception:
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
        return error  # a bug of ours: not to be dressed up as a disk's
    if getattr(error, "sqlite_errorcode", 0) in _FULL:
        return LocalStorageFull("the disk that holds mountfs' state is full")
    if is_damage(error):
        return StateDamaged(f"the local state is damaged: {error}")
    return LocalStorageBroken(f"the local state failed: {error}")
