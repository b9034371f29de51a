"""Conflict copies say what they are copies of, and revisions what they were merged from."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for name in ("conflict_of", "conflict_at_ns"):
        op.add_column("nodes", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column(
        "nodes", sa.Column("conflict_device", sa.Text(), nullable=False, server_default="")
    )
    op.add_column(
        "revisions", sa.Column("merged_from", sa.BigInteger(), nullable=False, server_default="0")
    )
