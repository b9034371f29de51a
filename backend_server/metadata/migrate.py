"""Brings a database's schema to the newest revision (Alembic, called from the program)."""

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import Connection

from backend_server.metadata.errors import MetadataTooNew

if TYPE_CHECKING:
    from alembic.config import Config

_SCRIPTS: Final = Path(__file__).parent / "migrations"


class Revisions(NamedTuple):
    """Of a database and of this program. `current` is empty where there is no schema yet."""

    current: set[str]
    known: set[str]
    newest: str | None


def load_revisions(connection: Connection) -> Revisions:
    """Return which revision of the schema a database has, and which there are."""
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_config(connection))
    return Revisions(
        set(MigrationContext.configure(connection).get_current_heads()),
        {script.revision for script in scripts.walk_revisions()},
        scripts.get_current_head(),
    )


def upgrade_to_head(connection: Connection) -> None:
    """Upgrade inside the connection's transaction. Idempotent.

    Raises:
        MetadataTooNew: The schema is ahead of this program; nothing was changed.
    """
    # Imported here: 0.2 s that only a start-up needs to pay.
    from alembic import command

    found = load_revisions(connection)
    if unknown := found.current - found.known:
        raise MetadataTooNew(f"schema revision {', '.join(sorted(unknown))} is not known")
    command.upgrade(_config(connection), "head")


def _config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    # `%` is Alembic's interpolation mark; a folder may have one in its name.
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
