"""Content: revisions, their manifests and segments, and where each chunk's block is."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
)

from backend_server.metadata.tables.catalogue import DriveIdText, catalogue

# Revisions
#
# One row per content that a node ever had; the head is the one that `nodes.revision` names.
# What a device may fetch is asked by (node, revision). `merged_from`, unless 0: the content is
# the head before it, brought together with the edit that the device `device_id` had made on top of
# revision `merged_from`.
revisions = Table(
    "revisions",
    catalogue,
    Column("drive_id", DriveIdText, primary_key=True),
    Column("node_id", BigInteger, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("manifest_id", LargeBinary, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("charged_bytes", BigInteger, nullable=False),
    Column("device_id", BigInteger, nullable=False),
    Column("committed_at_ms", BigInteger, nullable=False),
    Column("merged_from", BigInteger, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)

# Manifests
#
# Immutable and named by their content. A row exists only if every chunk of it was stored when it
# was written, so a manifest that is known needs no look at its chunks, as long as the drive has no
# lost ones; an edit may go on naming those that its base named. A manifest of few entries
# (EMBEDDED_ENTRIES_MAX) is here whole, in `entries`, with `segment_ids` empty; a longer one is
# the concatenation of its segments. The empty manifest has no row.
manifests = Table(
    "manifests",
    catalogue,
    Column("drive_id", DriveIdText, primary_key=True),
    Column("manifest_id", LargeBinary, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("charged_bytes", BigInteger, nullable=False),
    Column("entry_count", Integer, nullable=False),
    Column("entries", LargeBinary, nullable=False),  # packed; empty when in segments
    Column("segment_ids", LargeBinary, nullable=False),  # 32 bytes each, in order
    sqlite_with_rowid=False,
)

# Segments
#
# Runs of packed entries, shared by all manifests of the drive that contain them.
segments = Table(
    "segments",
    catalogue,
    Column("drive_id", DriveIdText, primary_key=True),
    Column("segment_id", LargeBinary, primary_key=True),
    Column("entries", LargeBinary, nullable=False),
)

# Chunks
#
# One row per chunk that the drive ever promised to keep. The row exists before the bytes, so a
# crash can leave a row without bytes (place 'expected') but never an object that nobody knows.
# 'inline': the sealed block is in this row. 'object': it is the block store's object named by
# (drive, chunk, generation); a generation is never written twice, so a late delete cannot kill a
# re-upload. `stored_digest` is of the sealed bytes: scrubbing needs no key. `stored_at_ms` is
# refreshed when somebody relies on the chunk again: the sweep's grace period counts from there.
chunks = Table(
    "chunks",
    catalogue,
    Column("drive_id", DriveIdText, primary_key=True),
    Column("chunk_id", LargeBinary, primary_key=True),
    Column("length", Integer, nullable=False),  # of the plaintext
    Column("place", Text, nullable=False),  # 'expected' | 'inline' | 'object'
    Column("generation", BigInteger, nullable=False),  # 0 while never an object
    Column("encoded_size", Integer, nullable=False),  # of the sealed block; 0 while 'expected'
    Column("key_version", Integer, nullable=False),  # of the data key; 0 while 'expected'
    Column("stored_at_ms", BigInteger),  # NULL while 'expected'
    Column("stored_digest", LargeBinary),  # BLAKE3 of the sealed block; NULL while 'expected'
    Column("sealed", LargeBinary),  # of 'inline' only
    CheckConstraint("(place = 'expected') = (stored_at_ms IS NULL)", name="stored"),
    CheckConstraint("(place = 'inline') = (sealed IS NOT NULL)", name="inline"),
)
Index("ix_chunks_stored_at", chunks.c.drive_id, chunks.c.stored_at_ms)

# Lost chunks
#
# Chunks that a revision names and whose block is gone or damaged, as `mountfs-server check
# --repair` found; their row in `chunks`, if any, says 'expected' again: nobody relies on it. A
# device that still has one may send it under any upload, and with that the row here goes.
# `node_id` and `revision` are of one revision that names the chunk, a head if there is one.
lost_chunks = Table(
    "lost_chunks",
    catalogue,
    Column("drive_id", DriveIdText, primary_key=True),
    Column("chunk_id", LargeBinary, primary_key=True),
    Column("length", Integer, nullable=False),  # of the plaintext
    Column("node_id", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("lost_at_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
