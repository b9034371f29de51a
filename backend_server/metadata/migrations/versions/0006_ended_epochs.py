"""Epochs that ended, for devices that have seen more. Prose: `metadata/tables/drives.py`."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "ended_epochs",
        sa.Column("drive_id", sa.String(length=16), nullable=False),
        sa.Column("resumed_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("kept_through", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("drive_id", "resumed_at", name="pk_ended_epochs"),
    )
