"""Uploads: pending revisions and what they hold."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table

from backend_server.metadata.tables.catalogue import DriveIdText, catalogue

# Uploads
#
# One row per pending revision. It reserves `reserved_bytes` of the drive's quota and may send
# blocks of `allowed_bytes` plaintext in all, of which `received_bytes` came. The row goes when
# its commit is applied, or when its lease is over and the reaper comes. It never blocks the head.
uploads = Table(
    "uploads",
    catalogue,
    Column("drive_id", DriveIdText, primary_key=True),
    Column("upload_id", LargeBinary, primary_key=True),
    Column("device_id", BigInteger, nullable=False),
    Column("node_id", BigInteger, nullable=False),
    Column("base_revision", BigInteger, nullable=False),
    Column("reserved_bytes", BigInteger, nullable=False),
    Column("received_bytes", BigInteger, nullable=False),
    Column("allowed_bytes", BigInteger, nullable=False),
    Column("lease_until_ms", BigInteger, nullable=False),
)
Index("ix_uploads_lease", uploads.c.lease_until_ms)

# Pins
#
# Chunks that a pending revision relies on: those it was told are present, and those it is
# sending. No sweep takes a pinned chunk.
upload_chunks = Table(
    "upload_chunks",
    catalogue,
    Column("drive_id", DriveIdText, primary_key=True),
    Column("upload_id", LargeBinary, primary_key=True),
    Column("chunk_id", LargeBinary, primary_key=True),
    sqlite_with_rowid=False,
)
Index("ix_upload_chunks_chunk", upload_chunks.c.drive_id, upload_chunks.c.chunk_id)
