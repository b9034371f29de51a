"""Accounts and devices: the directory, apart from all drives."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from backend_server.metadata.tables.catalogue import SerialNumber, catalogue

# Accounts
#
# One row per person. `email` is stored casefolded: it is what one logs in with, and two spellings
# of one address are one person. A suspended account keeps everything and may do nothing.
accounts = Table(
    "accounts",
    catalogue,
    Column("account_id", SerialNumber, primary_key=True, autoincrement=True),
    Column("email", Text, nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),  # argon2id, with its parameters
    Column("is_admin", Integer, nullable=False, default=0),
    Column("suspended_at_ms", BigInteger),  # NULL: not suspended
    Column("created_at_ms", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

# Devices
#
# One row per log-in, kept for ever: operations are numbered per device, so an id is never used
# again. The token itself is shown once; only its digest is kept. A device is let in when it is
# neither revoked nor expired.
devices = Table(
    "devices",
    catalogue,
    Column("device_id", SerialNumber, primary_key=True, autoincrement=True),
    Column("account_id", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("token_hash", LargeBinary, nullable=False, unique=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("last_seen_at_ms", BigInteger, nullable=False),  # written now and then, not per call
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("revoked_at_ms", BigInteger),  # NULL: not revoked
    sqlite_autoincrement=True,
)
Index("ix_devices_account", devices.c.account_id)
