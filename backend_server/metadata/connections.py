"""Connections to a SQLite file, set up the one way that keeps its promises.

WAL with `synchronous=FULL`: a COMMIT that returned survives power loss, and readers never wait
for the writer (https://sqlite.org/wal.html). The driver's own transaction handling is off:
transactions begin here, IMMEDIATE for the writer, so that nobody fails half way to a lock.
"""

import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

# Another process (the administrator's command line) may hold the write lock for a moment.
_BUSY_TIMEOUT_MS: Final = 10_000
_WRITER_CACHE_KIB: Final = 64 * 1024
_READER_CACHE_KIB: Final = 8 * 1024
# A checkpoint costs two fsyncs: at 4,096 pages (16 MiB) it is rare, and the log stays small.
_CHECKPOINT_PAGES: Final = 4096


class Connections:
    """Opens connections to one database. Each is for one thread at a time."""

    def __init__(self, place: str) -> None:
        """`place` is the path of a SQLite file, `:memory:`, or a `sqlite:` URL."""
        url = make_url(place) if "://" in place else URL.create("sqlite", database=place)
        if url.get_backend_name() != "sqlite":
            raise ValueError(f"metadata on {url.get_backend_name()!r} is not supported")
        self._url = url
        self._shared: Connection | None = None
        self.is_in_memory = url.database in (None, "", ":memory:")

    def open_writer(self) -> Connection:
        """Return a connection whose transactions hold the write lock from their begin."""
        connection = self._open("BEGIN IMMEDIATE", _WRITER_CACHE_KIB, is_reader=False)
        if self.is_in_memory:
            self._shared = connection
        return connection

    def open_reader(self) -> Connection:
        """Return a connection that cannot write; in memory, the writer's own."""
        if self._shared is not None:
            return self._shared
        return self._open("BEGIN", _READER_CACHE_KIB, is_reader=True)

    def open_inspector(self) -> Connection:
        """Return a connection that leaves every byte of the database as it is.

        Closing an ordinary connection folds a log that a crash left into the database; a read-only
        one does not. But it leaves an empty log behind where there was none, so it is taken only
        where there is one.
        """
        assert self._url.database is not None
        log = Path(self._url.database + "-wal")
        if not (log.exists() and log.stat().st_size):
            return self._open("BEGIN", _READER_CACHE_KIB, is_reader=True, sets_mode=False)
        file = Path(self._url.database).absolute().as_uri()
        url = self._url.set(database=file, query={"mode": "ro", "uri": "true"})
        return self._open("BEGIN", _READER_CACHE_KIB, is_reader=True, sets_mode=False, url=url)

    def _open(
        self,
        begin: str,
        cache_kib: int,
        *,
        is_reader: bool,
        sets_mode: bool = True,
        url: URL | None = None,
    ) -> Connection:
        engine = create_engine(
            url or self._url, poolclass=NullPool, connect_args={"check_same_thread": False}
        )

        @event.listens_for(engine, "connect")
        def set_up(driver: sqlite3.Connection, record: Any) -> None:
            driver.isolation_level = None
            driver.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
            if sets_mode:
                # Written into the file, once for ever; it would fill an empty one.
                driver.execute("PRAGMA journal_mode=WAL")
            driver.execute("PRAGMA synchronous=FULL")
            driver.execute("PRAGMA temp_store=MEMORY")
            driver.execute(f"PRAGMA cache_size=-{cache_kib}")
            driver.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
            if is_reader:
                driver.execute("PRAGMA query_only=ON")

        @event.listens_for(engine, "begin")
        def begin_now(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        return engine.connect()


def is_in_transaction(connection: Connection) -> bool:
    """Whether SQLite still has the transaction: a full disk may have rolled it back. No I/O."""
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver.in_transaction
