"""Wrapper: bytes that do not match their digest are never handed out, nor taken in."""

from collections.abc import AsyncIterator, Sequence

from backend_server.blocks.block_store import (
    BlockStore,
    ObjectFault,
    ObjectId,
    ObjectRef,
    SealedObject,
    stored_digest_of,
)
from backend_server.blocks.worker_threads import Threads
from backend_server.protocol.identity import DriveId


class VerifyingStore:
    """Turns rotten bytes into `ObjectFault.DAMAGED`. Hashes in `threads`."""

    def __init__(self, inner: BlockStore, *, threads: Threads) -> None:
        self._inner = inner
        self._threads = threads

    async def put_many(self, objects: Sequence[SealedObject]) -> None:
        """As promised by `BlockStore`. A digest that does not match is a bug of the caller."""
        assert all(item.sealed and len(item.ref.stored_digest) == 32 for item in objects)
        await self._inner.put_many(objects)

    async def get_many(self, refs: Sequence[ObjectRef]) -> list[bytes | ObjectFault]:
        found = await self._inner.get_many(refs)
        return await self._threads.run(
            lambda: [_verified(ref, item) for ref, item in zip(refs, found, strict=True)]
        )

    async def delete(self, object_ids: Sequence[ObjectId]) -> None:
        await self._inner.delete(object_ids)

    def list_ids(self, drive_id: DriveId) -> AsyncIterator[ObjectId]:
        return self._inner.list_ids(drive_id)

    async def check_ready(self) -> None:
        await self._inner.check_ready()

    async def aclose(self) -> None:
        await self._inner.aclose()


def _verified(ref: ObjectRef, found: bytes | ObjectFault) -> bytes | ObjectFault:
    if isinstance(found, ObjectFault) or stored_digest_of(found) == ref.stored_digest:
        return found
    return ObjectFault.DAMAGED
