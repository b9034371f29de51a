"""Which drives this account may see, remembered so that a mount starts while the server is away.

`drives.json` is the server's last word. It holds the drives' chunk keys, so it is private too.
"""

from pathlib import Path

import msgspec

from backend_server.protocol.account_messages import DriveInfo
from mountfs.app.device import write_private
from mountfs.app.state_folder import StateFolder
from mountfs.errors import Offline, SetupError


def store_drives(folder: StateFolder, drives: list[DriveInfo]) -> None:
    """Remember `drives`, the home drive first."""
    write_private(_path(folder), msgspec.json.encode(drives))


def load_drives(folder: StateFolder) -> list[DriveInfo]:
    """Return what the server said last.

    Raises:
        Offline: Nothing is remembered, so only the server can tell.
    """
    try:
        return msgspec.json.decode(_path(folder).read_bytes(), type=list[DriveInfo])
    except (OSError, msgspec.DecodeError):
        raise Offline("the server was never asked which drives there are") from None


def choose_drive(drives: list[DriveInfo], name: str | None) -> DriveInfo:
    """Return the drive called `name` (its name or id), the home drive for None. Pure.

    Raises:
        SetupError: No such drive, or several of that name.
    """
    if not drives:
        raise SetupError("this account has no drive", remedy="ask the server's admin")
    if name is None:
        return drives[0]
    found = [drive for drive in drives if name in (drive.drive_id, drive.name)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(drive.drive_id for drive in found)
        raise SetupError(f"several drives are called {name!r}", remedy=f"use an id: {ids}")
    known = ", ".join(drive.name for drive in drives)
    raise SetupError(f"there is no drive {name!r}", remedy=f"choose one of: {known}")


def _path(folder: StateFolder) -> Path:
    return folder.path / "drives.json"
