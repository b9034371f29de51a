"""The journal, and what makes commits idempotent."""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table

from backend_server.metadata.tables.catalogue import DriveIdText, catalogue

# Journal
#
# The drive's accepted changes in order, one row a sequence: who did what to which node, when.
# The feed itself is read from the states (nodes and dentries by sequence), not from here; this is
# the record for people, history and accounting, as far as it is kept (`drives.compacted_through`).
journal = Table(
    "journal",
    catalogue,
    Column("drive_id", DriveIdText, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Integer, nullable=False),  # EntryKind
    Column("node_id", BigInteger, nullable=False),
    Column("device_id", BigInteger, nullable=False),
    Column("accepted_at_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Progress of devices
#
# Operations are numbered per device and drive, from 1, without gaps. `highest_number` is kept for
# ever: a number at or below it is never made again.
device_progress = Table(
    "device_progress",
    catalogue,
    Column("drive_id", DriveIdText, primary_key=True),
    Column("device_id", BigInteger, primary_key=True, autoincrement=False),
    Column("highest_number", BigInteger, nullable=False),
)

# Answers
#
# What each operation was answered (msgpack of OperationAnswer), until the device says that it has
# the answer; never dropped by time.
operation_answers = Table(
    "operation_answers",
    catalogue,
    Column("drive_id", DriveIdText, primary_key=True),
    Column("device_id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("answer", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
