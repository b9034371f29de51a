"""Drives: their counters, keys and members."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from backend_server.metadata.tables.catalogue import DriveIdText, catalogue

# Drives
#
# One row per drive, and the row that every write of the drive locks: sequences are taken from
# `head_sequence` inside the transaction that uses them, so nobody sees 42 before 41. A new
# `epoch` (after a restore from an old backup) makes all cursors invalid. Quota counts the charged
# bytes (holes are free) of live heads, each node once; `quota_reserved` is the sum of
# `reserved_bytes` over the drive's uploads. Journal entries and tombstones of dentries up to
# `compacted_through` are gone: a cursor before it cannot be continued.
drives = Table(
    "drives",
    catalogue,
    Column("drive_id", DriveIdText, primary_key=True),
    Column("kind", Text, nullable=False),  # 'home' | 'shared'
    Column("owner_account", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("epoch", Text, nullable=False),  # random, 16 hexadecimal digits
    Column("head_sequence", BigInteger, nullable=False),
    Column("wrapped_chunk_key", LargeBinary, nullable=False),  # never rotates
    Column("chunker", Text, nullable=False),  # JSON of ChunkerParameters
    Column("quota_limit", BigInteger, nullable=False),
    Column("quota_used", BigInteger, nullable=False),
    Column("quota_reserved", BigInteger, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("compacted_through", BigInteger, nullable=False),
)

# Epochs of drives that ended
#
# A row for each time that a drive came back from a backup: the epoch that ended, the head that the
# backup had, and the number that the next epoch counts on from (`domain/epochs.py`). So a device
# that has seen more than the backup is told what is lost, and offers again what it holds of it.
ended_epochs = Table(
    "ended_epochs",
    catalogue,
    Column("drive_id", DriveIdText, primary_key=True),
    Column("resumed_at", BigInteger, primary_key=True, autoincrement=False),
    Column("epoch", Text, nullable=False),
    Column("kept_through", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger, nullable=False),
)

# Keys of drives
#
# The data keys that seal a drive's blocks, each wrapped by the master key. The highest version
# seals; every version may open.
drive_keys = Table(
    "drive_keys",
    catalogue,
    Column("drive_id", DriveIdText, primary_key=True),
    Column("key_version", Integer, primary_key=True),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)

# Members of drives
#
# Grants are rows of their drive, read inside the transaction that they permit. The index by
# account answers "which drives may this account see"; it can be rebuilt from the rows.
drive_members = Table(
    "drive_members",
    catalogue,
    Column("drive_id", DriveIdText, primary_key=True),
    Column("account_id", BigInteger, primary_key=True),
    Column("role", Text, nullable=False),  # 'owner' | 'editor' | 'viewer'
    Column("root_node", BigInteger, nullable=False),  # where this account's view begins
)
Index("ix_drive_members_account", drive_members.c.account_id)
