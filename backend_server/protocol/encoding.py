"""How the calls of `/v1` are written: single calls are JSON, batches and feeds msgpack.

The calls themselves: `account_messages`, `tree_messages`, `transfer_messages`, `commit_messages`.
"""

from typing import Final, TypeVar

import msgspec

T = TypeVar("T")

MSGPACK: Final = "application/vnd.msgpack"
FRAMES: Final = "application/vnd.mountfs.frames"

_encoder = msgspec.msgpack.Encoder()


class MessageMalformed(ValueError):
    """Bytes that are not the message they should be."""


def encode(message: object) -> bytes:
    """Return `message` as msgpack. Pure."""
    return _encoder.encode(message)


def decode(data: bytes | memoryview, kind: type[T]) -> T:
    """Return the message in `data`. Pure.

    Raises:
        MessageMalformed: Not a message of this kind, or nested deeper than any is.
    """
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageMalformed(str(error)) from error
