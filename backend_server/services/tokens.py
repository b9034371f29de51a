"""Tokens of devices: 32 random bytes, shown once; the server keeps a digest.

A token has full entropy, so a fast digest is enough: there is nothing to guess.
"""

import base64
import hashlib
import secrets
from typing import Final

TOKEN_BYTES: Final = 32
_PREFIX: Final = "mfs_"
_TEXT_LENGTH: Final = len(_PREFIX) + 43

DAY_MS: Final = 24 * 3600 * 1000
TOKEN_IDLE_MS_MAX: Final = 90 * DAY_MS
"""A device that was silent for so long must log in again."""
SEEN_WRITTEN_EVERY_MS: Final = 3600 * 1000
"""How stale "last seen" may get: a write per call would cost more than the call."""
assert SEEN_WRITTEN_EVERY_MS < TOKEN_IDLE_MS_MAX


def new_token() -> str:
    """Return a fresh token. The prefix lets scanners recognise one that leaked."""
    return _PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(TOKEN_BYTES)).decode().rstrip("=")


def token_hash_of(token: str) -> bytes | None:
    """Return what the server keeps of `token`, or None if it cannot be a token. Pure."""
    if len(token) != _TEXT_LENGTH or not token.startswith(_PREFIX) or not token.isascii():
        return None
    return hashlib.sha256(token.encode()).digest()
