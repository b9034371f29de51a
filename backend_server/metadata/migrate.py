"""Brings a database's schema to the newest revision (Alembic, called from the program)."""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection

_SCRIPTS: Final = Path(__file__).parent / "migrations"


def upgrade_to_head(connection: Connection) -> None:
    """Upgrade inside the connection's transaction. Idempotent."""
    # Imported here: 0.2 s that only a start-up needs to pay.
    from alembic import command
    from alembic.config import Config

    config = Config()
    # `%` is Alembic's interpolation mark; a folder may have one in its name.
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
