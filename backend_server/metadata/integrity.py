"""What SQLite itself says about the database file, and whether the schema is the one of now."""

from typing import Final

from sqlalchemy import Connection, inspect

from backend_server.metadata.errors import MetadataCorrupt, MetadataOutdated, MetadataTooNew
from backend_server.metadata.migrate import load_revisions
from backend_server.metadata.tables import catalogue

FAULTS_MAX: Final = 20
"""How many faults SQLite is asked for: one is enough to want the backup."""


def check_schema(connection: Connection) -> None:
    """Return if the database has the schema of this program.

    Raises:
        MetadataCorrupt: There is no schema of ours at all, as in a file cut to nothing.
        MetadataOutdated, MetadataTooNew: It is of another version of the program.
    """
    found = load_revisions(connection)
    if not found.current:
        raise MetadataCorrupt("it holds no tables of mountfs")
    if unknown := found.current - found.known:
        raise MetadataTooNew(f"schema revision {', '.join(sorted(unknown))} is not known")
    if found.current != {found.newest}:
        raise MetadataOutdated(f"schema revision {', '.join(sorted(found.current))}")
    if gone := catalogue.tables.keys() - set(inspect(connection).get_table_names()):
        raise MetadataCorrupt(f"table {min(gone)} is gone")


def load_integrity_faults(connection: Connection, *, is_quick: bool) -> list[str]:
    """Return what is wrong with the file, at most FAULTS_MAX sentences; none: it is whole.

    `is_quick` leaves out whether each index agrees with its table.
    """
    pragma = "quick_check" if is_quick else "integrity_check"
    rows = connection.exec_driver_sql(f"PRAGMA {pragma}({FAULTS_MAX})").all()
    faults = [str(row[0]) for row in rows if row[0] != "ok"]
    for row in connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(FAULTS_MAX):
        faults.append(f"row {row[1]} of {row[0]} refers to a row of {row[2]} that is not there")
    return faults[:FAULTS_MAX]
