"""The schema. Each file: prose first, then the tables.

Conventions: `drive_id` comes first in every hot key; times that the server takes are Unix
milliseconds (`*_ms`), times of files are Unix nanoseconds (`*_ns`); sizes are bytes; flags are
integers 0 and 1. Hot narrow tables are clustered by their primary key (WITHOUT ROWID on SQLite);
tables whose rows hold blobs are not.
"""

from backend_server.metadata.tables.accounts import accounts, devices
from backend_server.metadata.tables.catalogue import catalogue
from backend_server.metadata.tables.content import (
    chunks,
    lost_chunks,
    manifests,
    revisions,
    segments,
)
from backend_server.metadata.tables.drives import (
    drive_keys,
    drive_members,
    drives,
    ended_epochs,
)
from backend_server.metadata.tables.journal import device_progress, journal, operation_answers
from backend_server.metadata.tables.tree import dentries, nodes
from backend_server.metadata.tables.uploads import upload_chunks, uploads

__all__ = [
    "accounts",
    "catalogue",
    "chunks",
    "dentries",
    "device_progress",
    "devices",
    "drive_keys",
    "drive_members",
    "drives",
    "ended_epochs",
    "journal",
    "lost_chunks",
    "manifests",
    "nodes",
    "operation_answers",
    "revisions",
    "segments",
    "upload_chunks",
    "uploads",
]
