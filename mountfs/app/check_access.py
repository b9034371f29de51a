"""What a check needs before it looks: the state folder, to itself, and the server if it answers."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from mountfs.app.account import client_of
from mountfs.app.device import DeviceRecord, load_device
from mountfs.app.failures import message_of
from mountfs.app.registry import Registry
from mountfs.app.state_folder import StateFolder
from mountfs.errors import MountError, SetupError
from mountfs.transport.client import ServerClient

SERVER_TIMEOUT_S: Final = 10.0
"""Until a server that was not heard of is taken to be away."""


def find_state(
    mount_point: Path | None, state: Path, registry: Registry | None = None
) -> StateFolder:
    """Return the state folder of what was mounted at `mount_point`: `state`, if that was, or one
    whose mount was killed there. `state` for None.

    Raises:
        SetupError: Neither was mounted there.
    """
    folder = StateFolder(state)
    if mount_point is None or folder.log_file(mount_point).exists():
        return folder
    noted = (registry or Registry()).find(mount_point)
    if noted is not None:
        return StateFolder(Path(noted.state_folder))
    raise SetupError(
        f"the device in {folder.path} was never mounted at {mount_point}",
        remedy="name its state folder with --state DIR",
    )


@contextmanager
def keep_mounts_away(folder: StateFolder) -> Iterator[None]:
    """Have the state folder for oneself, as a mount has it.

    Raises:
        SetupError: It is mounted, or there is no such folder.
    """
    if not folder.path.is_dir():
        raise SetupError(
            f"{folder.path} is no state folder", remedy="name one with --state DIR, or log in"
        )
    with ExitStack() as held:
        try:
            held.enter_context(folder.lock())
        except SetupError as error:
            raise SetupError(
                f"{folder.path} cannot be checked while it is mounted",
                remedy="unmount first: `mountfs umount DIR`; `mountfs status` tells where it is",
            ) from error
        yield


@dataclass(frozen=True, slots=True)
class Reached:
    """The server, as this device. Both None: it does not answer, or does not know us."""

    client: ServerClient | None = None
    record: DeviceRecord | None = None


@asynccontextmanager
async def reach_server(folder: StateFolder, notes: list[str]) -> AsyncIterator[Reached]:
    """This device's server; nothing, and a note why, if it does not answer."""
    try:
        record = load_device(folder)
    except MountError as error:
        notes.append(f"the server was not asked: {message_of(error)}")
        yield Reached()
        return
    async with client_of(record) as client:
        reason = await _why_silent(client)
        if reason:
            notes.append(f"the server was not asked: {reason}")
        yield Reached() if reason else Reached(client, record)


async def _why_silent(client: ServerClient) -> str:
    try:
        with trio.fail_after(SERVER_TIMEOUT_S):
            await client.account()
    except trio.TooSlowError:
        return "it does not answer"
    except MountError as error:
        return message_of(error)
    return ""
