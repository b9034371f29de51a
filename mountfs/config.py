"""The one door to the environment: where this person's things are.

Read by the composition roots only; everything else is told.

    $MOUNTFS_STATE      the state folder, unless a command says --state
    $XDG_STATE_HOME     its parent otherwise (https://specifications.freedesktop.org/basedir-spec)
"""

import os
import socket
from pathlib import Path


def state_folder(option: Path | None) -> Path:
    """Return the state folder: `option`, else $MOUNTFS_STATE, else in the XDG state folder."""
    if option is not None:
        return option.expanduser().absolute()
    if named := os.environ.get("MOUNTFS_STATE"):
        return Path(named).expanduser().absolute()
    return _xdg_state_home() / "mountfs"


def registry_folder() -> Path:
    """Return where this user's mounts are noted, whatever their state folders are.

    Depends on the user alone, not on the session: what a desktop mounted, a cron job must find.
    """
    uid = os.getuid()
    runtime = Path(f"/run/user/{uid}")
    if _is_ours(runtime):
        return runtime / "mountfs"
    if uid == 0:
        return Path("/run/mountfs")
    return Path(f"/tmp/mountfs-{uid}")


def default_device_name() -> str:
    """Return what this machine calls itself."""
    return socket.gethostname() or "device"


def _xdg_state_home() -> Path:
    named = os.environ.get("XDG_STATE_HOME", "")
    # The specification: a relative path is to be ignored.
    return Path(named) if named.startswith("/") else Path.home() / ".local/state"


def _is_ours(folder: Path) -> bool:
    try:
        found = folder.stat()
    except OSError:
        return False
    return found.st_uid == os.getuid() and os.access(folder, os.W_OK)
