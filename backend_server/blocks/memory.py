"""Objects in memory: for tests and simulations. Passes the contract of `BlockStore`."""

from collections.abc import AsyncIterator, Sequence

import anyio.lowlevel

from backend_server.blocks.block_store import ObjectFault, ObjectId, ObjectRef, SealedObject
from backend_server.blocks.errors import StorageFull
from backend_server.protocol.identity import DriveId


class MemoryStore:
    """Keeps at most `capacity_bytes`."""

    def __init__(self, *, capacity_bytes: int = 1 << 40) -> None:
        self._capacity_bytes = capacity_bytes
        self._objects: dict[ObjectId, bytes] = {}

    async def put_many(self, objects: Sequence[SealedObject]) -> None:
        await anyio.lowlevel.checkpoint()
        # No await below: the group appears at once.
        new = {item.ref.object_id: item.sealed for item in objects}
        new = {key: sealed for key, sealed in new.items() if key not in self._objects}
        used_bytes = sum(map(len, self._objects.values())) + sum(map(len, new.values()))
        if used_bytes > self._capacity_bytes:
            raise StorageFull(f"more than {self._capacity_bytes} bytes")
        self._objects.update(new)

    async def get_many(self, refs: Sequence[ObjectRef]) -> list[bytes | ObjectFault]:
        await anyio.lowlevel.checkpoint()
        return [self._objects.get(ref.object_id, ObjectFault.MISSING) for ref in refs]

    async def delete(self, object_ids: Sequence[ObjectId]) -> None:
        await anyio.lowlevel.checkpoint()
        for object_id in object_ids:
            self._objects.pop(object_id, None)

    async def list_ids(self, drive_id: DriveId) -> AsyncIterator[ObjectId]:
        for object_id in list(self._objects):
            await anyio.lowlevel.checkpoint()
            if object_id.drive_id == drive_id:
                yield object_id

    async def check_ready(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()

    def damage(self, object_id: ObjectId) -> None:
        """Flip one bit of an object, as a disk might."""
        sealed = bytearray(self._objects[object_id])
        sealed[len(sealed) // 2] ^= 1
        self._objects[object_id] = bytes(sealed)
