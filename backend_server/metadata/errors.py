"""What can go wrong with the metadata, by who can do something about it.

MetadataError
+ MetadataUnavailable        try again later; nothing was changed
  - MetadataBusy                 too many writes are waiting
  - MetadataClosed               the server is stopping: ask the next one
  - StorageFull                  the administrator makes room
+ ConstraintViolated         somebody else was first (a unique email, an id)
+ MetadataCorrupt            the database is damaged or not ours
+ MetadataTooNew             a newer program made this schema; run that one
+ MetadataOutdated           an older program made this schema; it must be brought up to date
"""

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError, IntegrityError


class MetadataError(Exception):
    """Root of what leaves the metadata door."""


class MetadataUnavailable(MetadataError):
    """The database cannot serve now; nothing was changed."""


class MetadataBusy(MetadataUnavailable):
    """More writes are waiting than may wait."""


class MetadataClosed(MetadataUnavailable):
    """The server is stopping."""


class StorageFull(MetadataUnavailable):
    """No room left where the database is."""


class ConstraintViolated(MetadataError):
    """A row collides with one that is there."""


class MetadataCorrupt(MetadataError):
    """The file is no database, or a damaged one."""


class MetadataTooNew(MetadataError):
    """The schema is of a revision that this program does not know."""


class MetadataOutdated(MetadataError):
    """The schema is of a revision before the one of this program."""


# Primary result codes: the low byte of SQLite's extended ones (https://sqlite.org/rescode.html).
_FULL: Final = frozenset({sqlite3.SQLITE_FULL})
_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_UNAVAILABLE: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_INTERRUPT,
    }
)


def translate(error: DBAPIError) -> MetadataError | None:
    """Return our word for a database's exception, or None when it is a mistake of ours. Pure."""
    if isinstance(error, IntegrityError):
        return ConstraintViolated(str(error.orig))
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is None:
        return MetadataUnavailable(str(error.orig)) if error.connection_invalidated else None
    primary = code & 0xFF
    if primary in _FULL:
        return StorageFull(str(error.orig))
    if primary in _CORRUPT:
        return MetadataCorrupt(str(error.orig))
    if primary in _UNAVAILABLE:
        return MetadataUnavailable(str(error.orig))
    return None
