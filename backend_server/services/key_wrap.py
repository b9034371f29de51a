"""Keys that are kept wrapped by the master key.

    bytes 0      version, 1
    bytes 1-8    fingerprint of the master key that wrapped it
    bytes 9-20   nonce, random
    rest         AES-256-GCM of the key; AAD = "mountfs wrapped key" ‖ what the key is for

The fingerprint tells a wrong master key from a damaged row, and lets old and new master keys
stand side by side while rows are wrapped anew.
"""

import os
from dataclasses import dataclass, field
from typing import Final

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backend_server.protocol.identity import DriveId

KEY_BYTES: Final = 32
_VERSION: Final = 1
_FINGERPRINT_BYTES: Final = 8
_NONCE_BYTES: Final = 12
_NONCE_AT: Final = 1 + _FINGERPRINT_BYTES
_CIPHERTEXT_AT: Final = _NONCE_AT + _NONCE_BYTES


class KeyFault(Exception):
    """A wrapped key cannot be opened."""


class MasterKeyMismatch(KeyFault):
    """The key was wrapped by another master key than the one at hand."""


class WrappedKeyDamaged(KeyFault):
    """The bytes are no wrapped key, or not the one for this purpose."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    """The one key from which all others hang. Never logged: its repr shows the fingerprint."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        assert len(self.secret) == KEY_BYTES

    @property
    def fingerprint(self) -> bytes:
        return blake3(b"mountfs master key" + self.secret).digest()[:_FINGERPRINT_BYTES]

    def __str__(self) -> str:
        return f"master key {self.fingerprint.hex()}"


def new_key() -> bytes:
    """Return a fresh random key."""
    return os.urandom(KEY_BYTES)


def wrap_key(key: bytes, *, master: MasterKey, purpose: bytes) -> bytes:
    """Return `key` wrapped; `purpose` must be given again to unwrap it. Random nonce."""
    nonce = os.urandom(_NONCE_BYTES)
    ciphertext = AESGCM(master.secret).encrypt(nonce, key, _aad(purpose))
    return bytes([_VERSION]) + master.fingerprint + nonce + ciphertext


def unwrap_key(wrapped: bytes, *, master: MasterKey, purpose: bytes) -> bytes:
    """Return the key in `wrapped`. Pure.

    Raises:
        MasterKeyMismatch, WrappedKeyDamaged: As they say.
    """
    if len(wrapped) <= _CIPHERTEXT_AT or wrapped[0] != _VERSION:
        raise WrappedKeyDamaged("not a wrapped key of version 1")
    if wrapped[1:_NONCE_AT] != master.fingerprint:
        raise MasterKeyMismatch(
            f"wrapped by master key {wrapped[1:_NONCE_AT].hex()}, not by {master}"
        )
    try:
        return AESGCM(master.secret).decrypt(
            wrapped[_NONCE_AT:_CIPHERTEXT_AT], wrapped[_CIPHERTEXT_AT:], _aad(purpose)
        )
    except InvalidTag as error:
        raise WrappedKeyDamaged("does not authenticate") from error


def chunk_key_purpose(drive_id: DriveId) -> bytes:
    """Return the purpose of the key that names a drive's chunks. Pure."""
    return b"chunk key of " + drive_id.encode()


def data_key_purpose(drive_id: DriveId, key_version: int) -> bytes:
    """Return the purpose of a key that seals a drive's blocks. Pure."""
    return b"data key %d of " % key_version + drive_id.encode()


def _aad(purpose: bytes) -> bytes:
    return b"mountfs wrapped key" + purpose
