"""Small transactions of SQLite with its defaults: a rollback journal, every commit on the disk."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing

from benchmarks import figures
from benchmarks.figures import Figure
from benchmarks.sites import Site
from benchmarks.sizes import Sizes
from benchmarks.stopwatch import Stopwatch


def measure_transactions(site: Site, sizes: Sizes) -> Mapping[Figure, float]:
    path = site.new_folder() / "notes.sqlite"
    # Each statement is a transaction of its own.
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = FULL")
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        database.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        watch = Stopwatch()
        for index in range(sizes.transaction_count):
            database.execute("INSERT INTO notes (text) VALUES (?)", (f"note {index} " * 10,))
        seconds = watch.read_s()
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (found,) = database.execute("SELECT count(*) FROM notes").fetchone()
        assert found == sizes.transaction_count
    return {figures.TRANSACTIONS: sizes.transaction_count / seconds}
