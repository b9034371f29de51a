"""The keys of the views, wrapped by the device key, in a file of their own.

    slot (512 bytes): used (1) | view number (4) | nonce (12) | name length (2) | name (<= 400) |
                      wrapped key and tag (48) | zeros

The file is apart from the database because a database that copies on write cannot destroy
anything: here a key is overwritten in place with zeros, durably, and with it everything of its view
is unreadable, whatever else still lies about on the disk. (A file system or a disk that itself
copies on write may keep the old sector; whoever reads that also needs the device key.)

A slot that does not unwrap counts as destroyed. Not thread-safe: its owner serialises.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VIEW_NAME_BYTES_MAX: Final = 400
KEY_BYTES: Final = 32

_SLOT_BYTES: Final = 512
_WRAPPED_BYTES: Final = KEY_BYTES + 16
_SLOT: Final = struct.Struct(f">BI12sH{VIEW_NAME_BYTES_MAX}s{_WRAPPED_BYTES}s")
assert _SLOT.size <= _SLOT_BYTES
_NUMBER: Final = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class ViewKey:
    """One view's number in this cache, its name and its key."""

    number: int
    name: str
    key: bytes


class Keyring:
    """The view keys of one cache folder."""

    def __init__(self, descriptor: int, device_key: bytes) -> None:
        self._descriptor = descriptor
        self._wrapper = AESGCM(device_key)
        self._slots: dict[int, int] = {}
        self._slot_count = 0

    @classmethod
    def open(cls, path: Path, device_key: bytes) -> Self:
        """Open or make the keyring in `path`. Raises OSError."""
        return cls(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), device_key)

    def load(self) -> list[ViewKey]:
        """Return every key that unwraps."""
        self._slots.clear()
        keys = []
        stored = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        self._slot_count = len(stored) // _SLOT_BYTES
        for slot in range(self._slot_count):
            used, number, nonce, name_length, name, wrapped = _SLOT.unpack_from(
                stored, slot * _SLOT_BYTES
            )
            if not used or name_length > VIEW_NAME_BYTES_MAX:
                continue
            try:
                key = self._wrapper.decrypt(nonce, wrapped, _bound(number, name[:name_length]))
            except InvalidTag:
                continue
            self._slots[number] = slot
            keys.append(ViewKey(number, name[:name_length].decode(), key))
        return keys

    def store(self, view_key: ViewKey) -> None:
        """Keep `view_key`. Survives this process, not the machine. Raises OSError."""
        name = view_key.name.encode()
        assert len(name) <= VIEW_NAME_BYTES_MAX
        nonce = os.urandom(12)
        wrapped = self._wrapper.encrypt(nonce, view_key.key, _bound(view_key.number, name))
        taken = set(self._slots.values())
        slot = next(slot for slot in range(self._slot_count + 1) if slot not in taken)
        packed = _SLOT.pack(1, view_key.number, nonce, len(name), name, wrapped)
        written = os.pwrite(self._descriptor, packed.ljust(_SLOT_BYTES, b"\0"), slot * _SLOT_BYTES)
        if written != _SLOT_BYTES:
            raise OSError("the keyring could not be written whole")
        self._slots[view_key.number] = slot
        self._slot_count = max(self._slot_count, slot + 1)

    def destroy(self, number: int) -> None:
        """Overwrite the key of view `number`. Durable on return. Idempotent. Raises OSError."""
        slot = self._slots.pop(number, None)
        if slot is not None:
            os.pwrite(self._descriptor, bytes(_SLOT_BYTES), slot * _SLOT_BYTES)
            os.fdatasync(self._descriptor)

    def destroy_all(self) -> None:
        """Overwrite every key, readable or not. Durable on return. Raises OSError."""
        size = os.fstat(self._descriptor).st_size
        os.pwrite(self._descriptor, bytes(size), 0)
        os.fdatasync(self._descriptor)
        os.ftruncate(self._descriptor, 0)
        self._slots.clear()
        self._slot_count = 0

    def sync(self) -> None:
        """Make what was stored durable. Raises OSError."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _bound(number: int, name: bytes) -> bytes:
    return b"mountfs cache: view key" + _NUMBER.pack(number) + name
