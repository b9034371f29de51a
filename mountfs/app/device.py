"""Who this device is: `device.json` and `device.key`.

The token in `device.json` is all that is needed to be this device, so only its owner may read
it. `device.key` seals the cache; losing it loses nothing but clean bytes.
"""

import os
import secrets
from pathlib import Path
from typing import Final

import msgspec

from mountfs.app.state_folder import StateFolder
from mountfs.errors import NotLoggedIn, SetupError
from mountfs.state.folder_names import sync_folder

KEY_BYTES: Final = 32


class DeviceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a log-in leaves. `ca_file`: PEM certificates to trust instead of the system's."""

    url: str
    email: str
    account_id: int
    device_id: int
    device_name: str
    token: str
    ca_file: str | None = None

    def __repr__(self) -> str:
        return f"DeviceRecord({self.email} at {self.url}, device {self.device_id})"


def load_device(folder: StateFolder) -> DeviceRecord:
    """Return who we are.

    Raises:
        NotLoggedIn: Nobody yet.
        SetupError: The file cannot be read, or is not one.
    """
    try:
        return msgspec.json.decode(folder.device_file.read_bytes(), type=DeviceRecord)
    except FileNotFoundError:
        raise NotLoggedIn(f"not logged in (nothing in {folder.path})") from None
    except OSError as error:
        raise SetupError(
            f"{folder.device_file} cannot be read: {error.strerror}", remedy="change its owner"
        ) from error
    except msgspec.DecodeError as error:
        raise SetupError(
            f"{folder.device_file} is damaged: {error}", remedy="log in again: mountfs login"
        ) from error


def store_device(folder: StateFolder, record: DeviceRecord) -> None:
    """Replace `device.json`. Durable and whole on return."""
    folder.ensure()
    write_private(folder.device_file, msgspec.json.format(msgspec.json.encode(record)) + b"\n")


def load_device_key(folder: StateFolder) -> bytes:
    """Return the device key, made if there is none."""
    try:
        key = folder.key_file.read_bytes()
    except FileNotFoundError:
        key = b""
    if len(key) != KEY_BYTES:
        key = secrets.token_bytes(KEY_BYTES)
        write_private(folder.key_file, key)
    return key


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` (0600) by `data`. Durable and whole on return.

    Raises:
        SetupError: It cannot be written.
    """
    new = path.with_suffix(".new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        new.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise SetupError(
            f"{path} cannot be written: {error.strerror}", remedy="choose another --state DIR"
        ) from error
