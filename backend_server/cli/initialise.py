"""`init`: makes keys, database and config in an empty folder."""

import asyncio
import os
from pathlib import Path

from backend_server.blocks.local_folder import sync_folder
from backend_server.cli.failures import CommandFailed
from backend_server.config import CONFIG_FILE_NAME, CONFIG_TEMPLATE, ServerConfig
from backend_server.metadata.database import Database
from backend_server.services.key_wrap import MasterKey, new_key
from backend_server.services.master_key import load_master_key, write_master_key


def initialise(config: ServerConfig) -> MasterKey:
    """Make what `serve` needs; what is there is kept, so that a cut-off run can be repeated.

    Durable on return.

    Raises:
        CommandFailed: The folder is in use, or cannot be written.
        MasterKeyUnusable, MetadataError: See there.
    """
    if config.database_file.exists() and config.master_key_file.exists():
        raise CommandFailed(
            f"{config.data} is initialised already; run: mountfs-server serve --data {config.data}"
        )
    if config.database_file.exists():
        raise CommandFailed(
            f"{config.data} has a database, but its master key {config.master_key_file} is gone; "
            "put the recovery copy there"
        )
    try:
        missing = [folder for folder in (config.data, *config.data.parents) if not folder.exists()]
        config.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        config.blocks_folder.mkdir(mode=0o700, exist_ok=True)
        if config.master_key_file.exists():
            master = load_master_key(config.master_key_file)
        else:
            master = MasterKey(new_key())
            write_master_key(config.master_key_file, master)
        settings = config.data / CONFIG_FILE_NAME
        if not settings.exists():
            _write_settings(settings)
        # fsync(2) of a file keeps what is in it; its name is kept by one of the folder.
        sync_folder(config.data)
        for folder in missing or [config.data]:
            sync_folder(folder.parent)
    except OSError as error:
        raise CommandFailed(f"{config.data} cannot be written: {error}") from error
    # The database comes last: with it the folder counts as initialised.
    asyncio.run(_make_database(config.database_file))
    return master


def _write_settings(path: Path) -> None:
    with path.open("w") as file:
        file.write(CONFIG_TEMPLATE)
        file.flush()
        os.fsync(file.fileno())


async def _make_database(path: Path) -> None:
    database = Database.open(path)
    try:
        await database.migrate()
    finally:
        await database.close()
