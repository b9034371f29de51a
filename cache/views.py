"""The views of an open cache: number, key and name of each."""

import os
import threading
from collections.abc import Iterable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cache.errors import KeyNotDestroyed
from cache.keyring import KEY_BYTES, Keyring, ViewKey
from cache.rows import ID_BYTES_MAX, view_prefix


class View:
    """One view: seals and names its values."""

    __slots__ = ("_bound_prefix", "_key_prefix", "cipher", "view_key")

    def __init__(self, view_key: ViewKey) -> None:
        name = view_key.name.encode()
        self.view_key = view_key
        self.cipher = AESGCM(view_key.key)
        self._key_prefix = view_prefix(view_key.number)
        self._bound_prefix = len(name).to_bytes(2) + name

    def key_of(self, kind: bytes, value_id: bytes) -> bytes:
        """Return the database key of a value. Pure."""
        assert 0 < len(value_id) <= ID_BYTES_MAX
        return self._key_prefix + kind + value_id

    def bound_name_of(self, kind: bytes, value_id: bytes) -> bytes:
        """Return the name that a value is sealed under. Pure."""
        return self._bound_prefix + kind + len(value_id).to_bytes(2) + value_id


class Views:
    """Finds views by name; gives new ones a number and a random key."""

    def __init__(self, keyring: Keyring, numbers_in_use: Iterable[int]) -> None:
        self._keyring = keyring
        self._lock = threading.Lock()
        self._by_name = {key.name: View(key) for key in keyring.load()}
        self._names = {view.view_key.number: name for name, view in self._by_name.items()}
        self._next_number = 1 + max([0, *numbers_in_use, *self._names])

    def find(self, name: str) -> View | None:
        """Return the view, None if nothing was ever put into it. Any thread."""
        return self._by_name.get(name)

    def name_of(self, number: int) -> str | None:
        """Return the name of a live view, None for a dropped one. Any thread."""
        return self._names.get(number)

    def ensure_stored(self, name: str) -> View:
        """Return the view, made and its key kept if need be. Raises OSError."""
        with self._lock:
            view = self._by_name.get(name)
            if view is None:
                key = ViewKey(self._next_number, name, os.urandom(KEY_BYTES))
                self._keyring.store(key)
                self._next_number += 1
                view = View(key)
                self._names[key.number] = name
                self._by_name[name] = view
            return view

    def drop(self, name: str) -> None:
        """Forget the view and destroy its key. Durable on return. Idempotent.

        Raises:
            KeyNotDestroyed: Forgotten, but the disk would not overwrite the key.
        """
        with self._lock:
            view = self._by_name.pop(name, None)
            if view is None:
                return
            self._names.pop(view.view_key.number, None)
            try:
                self._keyring.destroy(view.view_key.number)
            except OSError as error:
                raise KeyNotDestroyed(name, error.strerror or str(error)) from error

    def forget_all(self) -> None:
        """Forget every view and destroy its key. Raises OSError."""
        with self._lock:
            self._by_name.clear()
            self._names.clear()
            self._keyring.destroy_all()
