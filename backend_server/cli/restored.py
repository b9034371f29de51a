"""`restored`: a new epoch for every drive, for the database is older than what devices saw."""

import asyncio

from backend_server.cli.failures import CommandFailed
from backend_server.cli.serve_lock import ServedAlready, serve_lock
from backend_server.clock import wall_clock_ms
from backend_server.config import ServerConfig
from backend_server.data_folder import load_existing_key
from backend_server.metadata.database import Database
from backend_server.services.begin_epoch import BeginEpochs


def note_restored(config: ServerConfig) -> int:
    """Begin a new epoch for every drive; return how many there are. Durable on return.

    Raises:
        CommandFailed: A server runs.
        NotInitialised, MasterKeyUnusable, MetadataError: The data folder cannot be used.
    """
    load_existing_key(config)
    try:
        with serve_lock(config.lock_file):
            return asyncio.run(_begin(config))
    except ServedAlready:
        raise CommandFailed(
            f"a mountfs-server serves {config.data}; stop it, and say it again"
        ) from None


async def _begin(config: ServerConfig) -> int:
    database = Database.open(config.database_file)
    try:
        await database.migrate()
        return await BeginEpochs(database, clock_ms=wall_clock_ms)()
    finally:
        await database.close()
