"""The master key's file: one line of text, readable by its owner alone.

    mountfs-master-key-1:BASE32:CHECK

The line is also the recovery copy that `init` prints: written down and typed in again, it is the
file. CHECK is the key's fingerprint, so that a typing mistake is told from a wrong key.
"""

import base64
import binascii
import os
import stat
from pathlib import Path
from typing import Final

from backend_server.services.key_wrap import KEY_BYTES, MasterKey

_PREFIX: Final = "mountfs-master-key-1"
_FILE_BYTES_MAX: Final = 1024


class MasterKeyUnusable(Exception):
    """The file is missing, open to others, or does not hold a key. The message says what to do."""


def format_master_key(key: MasterKey) -> str:
    """Return the key as its one line. Pure. Whoever has the line has everything."""
    text = base64.b32encode(key.secret).decode().rstrip("=")
    return f"{_PREFIX}:{text}:{key.fingerprint.hex()}"


def parse_master_key(text: str) -> MasterKey:
    """Return the key in `text`; case and white space do not matter. Pure.

    Raises:
        MasterKeyUnusable: Not a key, or mistyped.
    """
    prefix, _, rest = "".join(text.split()).partition(":")
    encoded, _, check = rest.partition(":")
    try:
        padding = "=" * (-len(encoded) % 8)
        secret = base64.b32decode(encoded.upper() + padding)
    except (binascii.Error, ValueError):
        secret = b""
    if prefix.lower() != _PREFIX or len(secret) != KEY_BYTES:
        raise MasterKeyUnusable("it does not hold a master key; restore the recovery copy")
    key = MasterKey(secret)
    if key.fingerprint.hex() != check.lower():
        raise MasterKeyUnusable("the key does not match its check digits; look for a typing error")
    return key


def write_master_key(path: Path, key: MasterKey) -> None:
    """Write a new key file with mode 0600. Durable on return.

    Raises:
        FileExistsError: Never overwritten: with the key, all content would be gone.
        OSError: The file cannot be written.
    """
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(format_master_key(key) + "\n")
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load_master_key(path: Path) -> MasterKey:
    """Return the key in the file.

    Raises:
        MasterKeyUnusable: See there.
    """
    try:
        with path.open() as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_FILE_BYTES_MAX)
    except FileNotFoundError:
        raise MasterKeyUnusable(
            f"the master key {path} is missing; put the recovery copy that init printed there"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise MasterKeyUnusable(f"the master key {path} cannot be read: {error}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise MasterKeyUnusable(f"others may read the master key; run: chmod 600 {path}")
    try:
        return parse_master_key(text)
    except MasterKeyUnusable as error:
        raise MasterKeyUnusable(f"the master key {path}: {error}") from None
