"""Log in, log out, devices: what needs the server and no mount."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from backend_server.protocol.account_messages import DeviceInfo, SessionRequest
from backend_server.protocol.identity import DeviceId, DriveId
from mountfs.app.device import DeviceRecord, load_device, load_device_key, store_device
from mountfs.app.drives import store_drives
from mountfs.app.state_folder import StateFolder
from mountfs.errors import NotLoggedIn, Refused, SetupError, Unavailable
from mountfs.state.inspection import has_state
from mountfs.state.store import StateStore
from mountfs.transport.client import ServerClient


async def log_in(
    folder: StateFolder,
    *,
    url: str,
    email: str,
    password: str,
    device_name: str,
    ca_file: Path | None,
) -> DeviceRecord:
    """Make this state folder a device of `email`; also again, when its token has ended.

    Raises:
        SetupError: The folder belongs to another account, or cannot be written.
        WrongPassword, Offline and the rest of the tree.
    """
    folder.ensure()
    _refuse_other_account(folder, url=url, email=email)
    trusted = _absolute(ca_file)
    with folder.lock():
        async with _client(url, None, trusted) as client:
            session = await client.log_in(
                SessionRequest(email=email, password=password, device_name=device_name)
            )
        record = DeviceRecord(
            url=url,
            email=email,
            account_id=session.account_id,
            device_id=session.device_id,
            device_name=device_name,
            token=session.token,
            ca_file=None if trusted is None else str(trusted),
        )
        store_device(folder, record)
        load_device_key(folder)
        async with client_of(record) as client:
            account = await client.account()
        store_drives(folder, account.drives)
    return record


async def log_out(folder: StateFolder, *, discard_changes: bool) -> bool:
    """Revoke this device and remove what it keeps. Returns whether the server was told.

    Raises:
        NotLoggedIn: There is nothing to log out of.
        SetupError: It is mounted, or has changes that the server lacks (unless discarded).
    """
    record = load_device(folder)
    with folder.lock():
        if not discard_changes:
            _refuse_to_lose_anything(folder)
        was_told = True
        try:
            async with client_of(record) as client:
                await client.revoke_device(DeviceId(record.device_id))
        except NotLoggedIn:
            pass  # revoked already
        except (Unavailable, Refused):
            was_told = False
        # The token first: what is left after a crash here cannot be used.
        for file in (folder.device_file, folder.key_file, folder.path / "drives.json"):
            file.unlink(missing_ok=True)
        for kept in (folder.cache, folder.drives):
            shutil.rmtree(kept, ignore_errors=True)
    return was_told


async def list_devices(folder: StateFolder) -> list[DeviceInfo]:
    """Return the account's devices. Raises what the network raises."""
    async with client_of(load_device(folder)) as client:
        return await client.devices()


async def revoke_device(folder: StateFolder, name_or_id: str) -> DeviceInfo:
    """Revoke one device of the account and return it.

    Raises:
        SetupError: No device, or several, of that name.
    """
    async with client_of(load_device(folder)) as client:
        found = [
            device
            for device in await client.devices()
            if name_or_id in (device.name, str(device.device_id))
        ]
        if len(found) != 1:
            fact = "there is no device" if not found else "there are several devices"
            raise SetupError(f"{fact} {name_or_id!r}", remedy="see `mountfs devices ls`")
        await client.revoke_device(DeviceId(found[0].device_id))
        return found[0]


@asynccontextmanager
async def client_of(record: DeviceRecord) -> AsyncIterator[ServerClient]:
    """This device's connection to its server, closed at the end."""
    ca_file = None if record.ca_file is None else Path(record.ca_file)
    async with _client(record.url, record.token, ca_file) as client:
        yield client


@asynccontextmanager
async def _client(url: str, token: str | None, ca_file: Path | None) -> AsyncIterator[ServerClient]:
    client = ServerClient(url, token, ca_file=ca_file)
    try:
        yield client
    finally:
        await client.aclose()


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.expanduser().absolute()


def _refuse_other_account(folder: StateFolder, *, url: str, email: str) -> None:
    try:
        known = load_device(folder)
    except NotLoggedIn:
        return
    if (known.url, known.email) != (url, email):
        raise SetupError(
            f"this device belongs to {known.email} at {known.url}",
            remedy="`mountfs logout` first, or be another device with --state DIR",
        )


def _refuse_to_lose_anything(folder: StateFolder) -> None:
    drives = list(folder.drives.iterdir()) if folder.drives.is_dir() else []
    if any(has_state(drive) and _has_changes(drive) for drive in drives):
        raise SetupError(
            "this device has changes that the server does not have",
            remedy="mount and `mountfs sync` first, or lose them with --discard-changes",
        )
    for drive in drives:
        recovered = drive / "recovered"
        if recovered.is_dir() and any(recovered.iterdir()):
            raise SetupError(
                f"there are recovered copies in {drive / 'recovered'}",
                remedy="move them away first, or lose them with --discard-changes",
            )


def _has_changes(drive: Path) -> bool:
    state = StateStore.open(drive, DriveId(drive.name))
    try:
        return bool(len(state.overlays) or state.changes.nodes or state.changes.dentries)
    finally:
        state.close()
