"""The first schema. What the tables mean is said in `metadata/tables/`."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column(
            "account_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("is_admin", sa.Integer(), nullable=False),
        sa.Column("suspended_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_accounts"),
        sa.UniqueConstraint("email", name="uq_accounts_email"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "chunks",
        sa.Column("drive_id", sa.String(length=16), nullable=False),
        sa.Column("chunk_id", sa.LargeBinary(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("encoded_size", sa.Integer(), nullable=False),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.Column("stored_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("stored_digest", sa.LargeBinary(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "(place = 'expected') = (stored_at_ms IS NULL)", name="ck_chunks_stored"
        ),
        sa.CheckConstraint("(place = 'inline') = (sealed IS NOT NULL)", name="ck_chunks_inline"),
        sa.PrimaryKeyConstraint("drive_id", "chunk_id", name="pk_chunks"),
    )
    op.create_index("ix_chunks_stored_at", "chunks", ["drive_id", "stored_at_ms"], unique=False)
    op.create_table(
        "dentries",
        sa.Column("drive_id", sa.String(length=16), nullable=False),
        sa.Column("parent", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("node_id", sa.BigInteger(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("drive_id", "parent", "name", name="pk_dentries"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_dentries_node",
        "dentries",
        ["drive_id", "node_id"],
        unique=False,
        sqlite_where=sa.text("node_id IS NOT NULL"),
        postgresql_where=sa.text("node_id IS NOT NULL"),
    )
    op.create_index("ix_dentries_sequence", "dentries", ["drive_id", "sequence"], unique=False)
    op.create_table(
        "device_progress",
        sa.Column("drive_id", sa.String(length=16), nullable=False),
        sa.Column("device_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("highest_number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("drive_id", "device_id", name="pk_device_progress"),
    )
    op.create_table(
        "devices",
        sa.Column(
            "device_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("device_id", name="pk_devices"),
        sa.UniqueConstraint("token_hash", name="uq_devices_token_hash"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_devices_account", "devices", ["account_id"], unique=False)
    op.create_table(
        "drive_keys",
        sa.Column("drive_id", sa.String(length=16), nullable=False),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("drive_id", "key_version", name="pk_drive_keys"),
    )
    op.create_table(
        "drive_members",
        sa.Column("drive_id", sa.String(length=16), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("root_node", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("drive_id", "account_id", name="pk_drive_members"),
    )
    op.create_index("ix_drive_members_account", "drive_members", ["account_id"], unique=False)
    op.create_table(
        "drives",
        sa.Column("drive_id", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("owner_account", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("head_sequence", sa.BigInteger(), nullable=False),
        sa.Column("wrapped_chunk_key", sa.LargeBinary(), nullable=False),
        sa.Column("chunker", sa.Text(), nullable=False),
        sa.Column("quota_limit", sa.BigInteger(), nullable=False),
        sa.Column("quota_used", sa.BigInteger(), nullable=False),
        sa.Column("quota_reserved", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("drive_id", name="pk_drives"),
    )
    op.create_table(
        "journal",
        sa.Column("drive_id", sa.String(length=16), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("node_id", sa.BigInteger(), nullable=False),
        sa.Column("device_id", sa.BigInteger(), nullable=False),
        sa.Column("accepted_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("drive_id", "sequence", name="pk_journal"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "manifests",
        sa.Column("drive_id", sa.String(length=16), nullable=False),
        sa.Column("manifest_id", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("charged_bytes", sa.BigInteger(), nullable=False),
        sa.Column("entry_count", sa.Integer(), nullable=False),
        sa.Column("entries", sa.LargeBinary(), nullable=False),
        sa.Column("segment_ids", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("drive_id", "manifest_id", name="pk_manifests"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "nodes",
        sa.Column("drive_id", sa.String(length=16), nullable=False),
        sa.Column("node_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("mode", sa.Integer(), nullable=False),
        sa.Column("uid", sa.BigInteger(), nullable=False),
        sa.Column("gid", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("ctime_ns", sa.BigInteger(), nullable=False),
        sa.Column("attributes_version", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("manifest_id", sa.LargeBinary(), nullable=False),
        sa.Column("entries", sa.LargeBinary(), nullable=False),
        sa.Column("target", sa.LargeBinary(), nullable=False),
        sa.Column("rdev", sa.BigInteger(), nullable=False),
        sa.Column("charged_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("drive_id", "node_id", name="pk_nodes"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_nodes_sequence", "nodes", ["drive_id", "sequence"], unique=False)
    op.create_table(
        "operation_answers",
        sa.Column("drive_id", sa.String(length=16), nullable=False),
        sa.Column("device_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("drive_id", "device_id", "number", name="pk_operation_answers"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "revisions",
        sa.Column("drive_id", sa.String(length=16), nullable=False),
        sa.Column("node_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("manifest_id", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("charged_bytes", sa.BigInteger(), nullable=False),
        sa.Column("device_id", sa.BigInteger(), nullable=False),
        sa.Column("committed_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("drive_id", "node_id", "revision", name="pk_revisions"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "segments",
        sa.Column("drive_id", sa.String(length=16), nullable=False),
        sa.Column("segment_id", sa.LargeBinary(), nullable=False),
        sa.Column("entries", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("drive_id", "segment_id", name="pk_segments"),
    )
    op.create_table(
        "upload_chunks",
        sa.Column("drive_id", sa.String(length=16), nullable=False),
        sa.Column("upload_id", sa.LargeBinary(), nullable=False),
        sa.Column("chunk_id", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("drive_id", "upload_id", "chunk_id", name="pk_upload_chunks"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_upload_chunks_chunk", "upload_chunks", ["drive_id", "chunk_id"], unique=False
    )
    op.create_table(
        "uploads",
        sa.Column("drive_id", sa.String(length=16), nullable=False),
        sa.Column("upload_id", sa.LargeBinary(), nullable=False),
        sa.Column("device_id", sa.BigInteger(), nullable=False),
        sa.Column("node_id", sa.BigInteger(), nullable=False),
        sa.Column("base_revision", sa.BigInteger(), nullable=False),
        sa.Column("reserved_bytes", sa.BigInteger(), nullable=False),
        sa.Column("received_bytes", sa.BigInteger(), nullable=False),
        sa.Column("allowed_bytes", sa.BigInteger(), nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("drive_id", "upload_id", name="pk_uploads"),
    )
    op.create_index("ix_uploads_lease", "uploads", ["lease_until_ms"], unique=False)
