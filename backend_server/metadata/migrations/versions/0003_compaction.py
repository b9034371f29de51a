"""Drives say through which sequence their tombstones are gone."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column(
        "drives",
        sa.Column(
            "compacted_through", sa.BigInteger(), nullable=False, server_default=sa.text("0")
        ),
    )
