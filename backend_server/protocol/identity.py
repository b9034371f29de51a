"""Names of things, and how content gets its name.

A `ChunkId` is BLAKE3-256 of the chunk's plaintext, keyed with the drive's chunk key
(https://github.com/BLAKE3-team/BLAKE3-specs): equal chunks are found inside one drive, and an id
tells nothing about content to whoever lacks the key. A `ChunkId` is a name, never a capability.
"""

from typing import Final, NewType

from blake3 import blake3

DriveId = NewType("DriveId", str)
"""16 lower-case hexadecimal digits."""

NodeId = NewType("NodeId", int)
"""63 bits, greater than 0, chosen by the client that creates the node. Never used twice."""

AccountId = NewType("AccountId", int)
DeviceId = NewType("DeviceId", int)

Sequence = NewType("Sequence", int)
"""Place in a drive's journal, from 1; 0 is before everything."""

RevisionId = NewType("RevisionId", int)
"""The sequence of the commit that made the revision; 0 is a file that never had content."""

ChunkId = NewType("ChunkId", bytes)
"""32 bytes."""

ManifestId = NewType("ManifestId", bytes)
"""32 bytes."""

UploadId = NewType("UploadId", bytes)
"""16 bytes, random, chosen by the client."""

NO_NODE: Final = NodeId(0)
ROOT_NODE: Final = NodeId(1)
"""The root folder of every drive."""

NODE_ID_RESERVED_MAX: Final = 1 << 16
"""Ids up to here are never chosen by a client."""

NODE_ID_MAX: Final = (1 << 63) - 1
DEVICE_ID_MAX: Final = (1 << 63) - 1

DRIVE_ID_LENGTH: Final = 16
_HEXADECIMAL: Final = frozenset("0123456789abcdef")
DIGEST_BYTES: Final = 32
CHUNK_KEY_BYTES: Final = 32
UPLOAD_ID_BYTES: Final = 16


def chunk_id_of(plaintext: bytes | bytearray | memoryview, *, chunk_key: bytes) -> ChunkId:
    """Return the id of a chunk. Pure. Releases the GIL for large chunks."""
    return ChunkId(blake3(plaintext, key=chunk_key).digest())


def is_valid_drive_id(drive_id: str) -> bool:
    """Whether `drive_id` can be one. Pure."""
    return len(drive_id) == DRIVE_ID_LENGTH and not set(drive_id) - _HEXADECIMAL


def is_valid_name(name: bytes) -> bool:
    """Whether `name` may stand in a folder: 1-255 bytes, no `/`, no NUL, not `.` or `..`. Pure."""
    return (
        0 < len(name) <= 255
        and b"/" not in name
        and b"\0" not in name
        and name not in (b".", b"..")
    )
