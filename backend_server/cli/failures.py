"""What went wrong, said to an administrator with its remedy."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from backend_server.config import ConfigInvalid, ServerConfig

EXIT_FAILED = 1
EXIT_USAGE = 2


class CommandFailed(Exception):
    """A command cannot go on. The message says why and what to do."""


def message_of(error: Exception) -> str | None:
    """Return what to tell about `error`, or None if it is a mistake of ours. Pure."""
    # Imported when something failed, not by every command: they take half a second.
    from backend_server.blocks.errors import StorageFull, StoreError
    from backend_server.data_folder import NotInitialised
    from backend_server.domain.refusals import Refusal
    from backend_server.metadata.errors import (
        MetadataCorrupt,
        MetadataError,
        MetadataOutdated,
        MetadataTooNew,
    )
    from backend_server.metadata.errors import StorageFull as MetadataStorageFull
    from backend_server.services.key_wrap import KeyFault, MasterKeyMismatch
    from backend_server.services.master_key import MasterKeyUnusable

    match error:
        case CommandFailed() | NotInitialised() | MasterKeyUnusable() | ConfigInvalid():
            return str(error)
        case Refusal():
            return error.message
        case MasterKeyMismatch():
            return f"this is not the master key of this data: {error}"
        case KeyFault():
            return f"the keys in the database are damaged: {error}"
        case StorageFull() | MetadataStorageFull():
            return f"the disk is full; make room and try again ({error})"
        case MetadataTooNew():
            return f"a newer mountfs-server made this database; run that one ({error})"
        case MetadataOutdated():
            return (
                "an older mountfs-server made this database; start this one, or check with "
                f"--repair, to bring it up to date ({error})"
            )
        case MetadataCorrupt():
            return f"the database is damaged; restore it from a backup ({error})"
        case MetadataError() | StoreError():
            return f"the data folder cannot be used: {error}"
        case _:
            return None


@contextmanager
def told() -> Iterator[None]:
    """End the program with one line on stderr when a known thing goes wrong: exit code 1, or 2
    for flags and settings that make no sense."""
    try:
        yield
    except Exception as error:
        message = message_of(error)
        if message is None:
            raise
        from rich.console import Console

        Console(stderr=True, soft_wrap=True, highlight=False).print("error:", message, markup=False)
        sys.exit(EXIT_USAGE if isinstance(error, ConfigInvalid) else EXIT_FAILED)


def listening_failure(error: OSError, config: ServerConfig) -> CommandFailed:
    """Return what to tell when the socket cannot be had. Pure."""
    place = f"{config.host}:{config.port}"
    match error.errno:
        case errno.EADDRINUSE:
            return CommandFailed(
                f"{place} is in use; stop what listens there or choose another --listen"
            )
        case errno.EACCES:
            return CommandFailed(f"{place} may not be used; choose a port above 1023")
        case errno.EADDRNOTAVAIL:
            return CommandFailed(f"{place} is no address of this machine; choose another --listen")
        case _:
            return CommandFailed(f"{place} cannot be listened on: {error}")
