"""Cursors: "applied up to here", opaque and authenticated.

    bytes 0-15    epoch of the drive, as its 16 hexadecimal digits
    bytes 16-23   sequence, big-endian: every row up to here is known
    bytes 24-31   head when the snapshot began that this cursor continues; 0 in a feed
    bytes 32-47   BLAKE3 keyed, over the drive's id and the bytes before

as URL-safe base64 without padding. A cursor authorises nothing; the seal only keeps a client from
making one up, and a server from reading one of another drive or epoch as its own.
"""

import base64
import binascii
import hmac
import struct
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from backend_server.protocol.identity import DriveId, Sequence

_BODY: Final = struct.Struct(">16sQQ")
_SEAL_BYTES: Final = 16
CURSOR_KEY_BYTES: Final = 32
_CURSOR_CHARACTERS: Final = 64  # 48 bytes
_NOWHERE: Final = Sequence(0)


class CursorInvalid(ValueError):
    """Not a cursor of this drive and epoch."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """`snapshot_head` is 0 except while a snapshot is being paged."""

    sequence: Sequence
    snapshot_head: Sequence = _NOWHERE

    @property
    def needs_tombstones_from(self) -> Sequence:
        """What was removed after this, whoever continues must be told. A snapshot begins without
        what was removed before it."""
        return self.snapshot_head or self.sequence


def seal_cursor(cursor: Cursor, *, key: bytes, drive_id: DriveId, epoch: str) -> str:
    """Return the cursor as a token. Pure. `key` is 32 bytes of the server's own."""
    body = _BODY.pack(epoch.encode("ascii"), cursor.sequence, cursor.snapshot_head)
    return base64.urlsafe_b64encode(body + _seal(body, key, drive_id)).decode("ascii")


def open_cursor(token: str, *, key: bytes, drive_id: DriveId, epoch: str) -> Cursor:
    """Return the cursor in `token`. Pure.

    Raises:
        CursorInvalid: Not made with this key for this drive, or of another epoch.
    """
    cursor_epoch, cursor = open_any_cursor(token, key=key, drive_id=drive_id)
    if cursor_epoch != epoch:
        raise CursorInvalid("a cursor of another epoch")
    return cursor


def open_any_cursor(token: str, *, key: bytes, drive_id: DriveId) -> tuple[str, Cursor]:
    """Return the cursor in `token`, and its epoch. Pure.

    Raises:
        CursorInvalid: Not made with this key for this drive.
    """
    if len(token) != _CURSOR_CHARACTERS:
        raise CursorInvalid("not a cursor")
    try:
        data = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise CursorInvalid("not a cursor") from error
    body, seal = data[:-_SEAL_BYTES], data[-_SEAL_BYTES:]
    if not hmac.compare_digest(seal, _seal(body, key, drive_id)):
        raise CursorInvalid("not a cursor of this drive")
    epoch, sequence, snapshot_head = _BODY.unpack(body)
    return epoch.decode("ascii"), Cursor(Sequence(sequence), Sequence(snapshot_head))


def _seal(body: bytes, key: bytes, drive_id: DriveId) -> bytes:
    return blake3(drive_id.encode("ascii") + body, key=key).digest(_SEAL_BYTES)
