"""Brings a database's schema to the newest revision (Alembic, called from the program)."""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from backend_server.metadata.errors import MetadataTooNew

_SCRIPTS: Final = Path(__file__).parent / "migrations"


def upgrade_to_head(connection: Connection) -> None:
    """Upgrade inside the connection's transaction. Idempotent.

    Raises:
        MetadataTooNew: The schema is ahead of this program; nothing was changed.
    """
    # Imported here: 0.2 s that only a start-up needs to pay.
    from alembic import command
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    # `%` is Alembic's interpolation mark; a folder may have one in its name.
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
    if unknown:
        raise MetadataTooNew(f"schema revision {', '.join(sorted(unknown))} is not known")
    command.upgrade(config, "head")
