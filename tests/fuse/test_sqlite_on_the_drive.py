"""SQLite's promises hold on the mount: transactions, both journal modes, integrity, two handles."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.mount import check_everything_arrived
from harness.programs import output_of
from harness.shared_drive import SharedDrive
from harness.trees import same_as_on_plain_folder

pytestmark = pytest.mark.fuse


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None, timeout=20)
    try:
        yield connection
    finally:
        connection.close()


def _work(path: Path, journal_mode: str) -> list[object]:
    with _opened(path) as db:
        said: list[object] = [db.execute(f"PRAGMA journal_mode={journal_mode}").fetchone()]
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT, blob BLOB)")
        for start in range(0, 400, 20):
            db.execute("BEGIN IMMEDIATE")
            for index in range(start, start + 20):
                blob = bytes([index % 251]) * (index * 13)
                db.execute("INSERT INTO rows VALUES (?, ?, ?)", (index, f"row {index}", blob))
            db.execute("ROLLBACK" if start % 100 == 80 else "COMMIT")
        db.execute("DELETE FROM rows WHERE id % 7 = 0")
        db.execute("UPDATE rows SET text = text || ' changed' WHERE id % 3 = 0")
        db.execute("VACUUM")
        said.append(db.execute("PRAGMA integrity_check").fetchall())
        said.append(db.execute("SELECT count(*), sum(length(blob)) FROM rows").fetchall())
    with _opened(path) as reader, _opened(path) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO rows VALUES (100000, 'by another handle', NULL)")
        said.append(reader.execute("SELECT count(*) FROM rows").fetchone())
        writer.execute("COMMIT")
        said.append(reader.execute("SELECT count(*) FROM rows").fetchone())
        said.append(reader.execute("SELECT * FROM rows ORDER BY id").fetchall())
    return said


@pytest.mark.parametrize("journal_mode", ["DELETE", "TRUNCATE", "PERSIST", "WAL"])
def test_transactions(journal_mode: str, folder: Path, drive: SharedDrive, tmp_path: Path) -> None:
    said = same_as_on_plain_folder(
        lambda where: _work(where / "some.db", journal_mode),
        plain=tmp_path / "plain",
        mounted=folder / "databases",
    )
    assert said[1] == [("ok",)]

    check_everything_arrived(drive.here, drive.there)
    there = drive.there.path / folder.relative_to(drive.here.path) / "databases" / "some.db"
    with _opened(there) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT * FROM rows ORDER BY id").fetchall() == said[-1]


def test_the_command_line_shell(folder: Path, tmp_path: Path) -> None:
    script = "CREATE TABLE t(a); INSERT INTO t VALUES (1),(2),(3); SELECT sum(a) FROM t;"

    def run(where: Path) -> list[str]:
        database = where / "shell.db"
        return [output_of("sqlite3", database, line, cwd=where) for line in (script, ".dump")]

    same_as_on_plain_folder(
        run,
        plain=tmp_path / "plain",
        mounted=folder / "shell",
    )
