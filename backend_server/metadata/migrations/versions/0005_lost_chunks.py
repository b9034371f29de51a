"""Chunks that were lost, for devices to bring back. Prose: `metadata/tables/content.py`."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "lost_chunks",
        sa.Column("drive_id", sa.String(length=16), nullable=False),
        sa.Column("chunk_id", sa.LargeBinary(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("node_id", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("lost_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("drive_id", "chunk_id", name="pk_lost_chunks"),
        sqlite_with_rowid=False,
    )
