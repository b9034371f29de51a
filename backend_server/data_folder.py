"""What a data folder must hold before it can be used. Light to import: every command needs it."""

from backend_server.config import ServerConfig
from backend_server.services.key_wrap import MasterKey
from backend_server.services.master_key import load_master_key


class NotInitialised(Exception):
    """The data folder holds no server. The message says what to do."""


def load_existing_key(config: ServerConfig) -> MasterKey:
    """Return the master key of a data folder that `init` made.

    Raises:
        NotInitialised, MasterKeyUnusable: As they say.
    """
    if not config.database_file.is_file() or not config.blocks_folder.is_dir():
        raise NotInitialised(
            f"{config.data} holds no server; run: mountfs-server init --data {config.data}"
        )
    return load_master_key(config.master_key_file)
