"""How objects lie in a folder: ROOT/DRIVE/SHELF/CHUNK.GENERATION.."""

from pathlib import Path
from typing import Final

from backend_server.blocks.block_store import ObjectId
from backend_server.protocol.identity import DIGEST_BYTES, ChunkId, DriveId

SHELVES: Final = 64
"""SHELF is so many bits of the chunk id."""
INCOMING: Final = "incoming"
"""ROOT/incoming holds what is being written."""


def shelf_names() -> list[str]:
    """Return the shelves of a drive. Pure."""
    return [f"{shelf:02x}" for shelf in range(SHELVES)]


def path_of(root: Path, object_id: ObjectId) -> Path:
    """Return where an object is. Pure."""
    shelf = f"{object_id.chunk_id[0] % SHELVES:02x}"
    return root / object_id.drive_id / shelf / name_of(object_id)


def name_of(object_id: ObjectId) -> str:
    """Return the name of an object's file. Pure."""
    return f"{object_id.chunk_id.hex()}.{object_id.generation}"


def object_id_of(drive_id: DriveId, name: str) -> ObjectId | None:
    """Return the object that a file's name says, None if it is no object's. Pure."""
    chunk, _, generation = name.partition(".")
    try:
        chunk_id = ChunkId(bytes.fromhex(chunk))
    except ValueError:
        return None
    if len(chunk_id) != DIGEST_BYTES or not (generation.isascii() and generation.isdigit()):
        return None
    object_id = ObjectId(drive_id, chunk_id, int(generation))
    return object_id if name_of(object_id) == name else None
