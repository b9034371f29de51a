"""Nodes carry extended attributes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    empty = "x''" if op.get_bind().dialect.name == "sqlite" else "''"
    op.add_column(
        "nodes",
        sa.Column("xattrs", sa.LargeBinary(), nullable=False, server_default=sa.text(empty)),
    )
