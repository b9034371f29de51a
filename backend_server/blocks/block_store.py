"""The interface of block storage, and the names of objects."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from blake3 import blake3

from backend_server.protocol.identity import ChunkId, DriveId


class ObjectId(NamedTuple):
    """Names one object for ever: an upload of the same chunk after a delete has another generation.

    So a delete that arrives late can never hit what was uploaded since.
    """

    drive_id: DriveId
    chunk_id: ChunkId
    generation: int


class ObjectRef(NamedTuple):
    """An object and the digest that its bytes must have (`stored_digest_of`)."""

    object_id: ObjectId
    stored_digest: bytes


@dataclass(frozen=True, slots=True)
class SealedObject:
    """An object on its way into the store. `sealed` is never empty."""

    ref: ObjectRef
    sealed: bytes


class ObjectFault(Enum):
    """Why an object that was asked for cannot be handed out."""

    MISSING = "missing"
    DAMAGED = "damaged"


class BlockStore(Protocol):
    """Immutable, write-once objects, named by `ObjectId`.

    Safe to call from many tasks at once. An object is there whole or not at all, also after a
    crash at any moment. Ids are never reused, so an id leads to the same bytes for ever or, after
    a delete, to nothing.
    """

    async def put_many(self, objects: Sequence[SealedObject]) -> None:
        """Keep `objects`. Durable on return, as a group. Idempotent.

        When it raises, or is cut off, any of the objects may be there (whole) or not; after
        `StorageFull` none of them takes room. An object that is there already is kept as it is.

        Raises:
            StorageFull: No room.
            StoreUnavailable: The medium failed.
        """
        ...

    async def get_many(self, refs: Sequence[ObjectRef]) -> list[bytes | ObjectFault]:
        """Return the bytes of each object, in the order asked, or why there are none.

        A bare store may return bytes that have rotted; `VerifyingStore` does not.

        Raises:
            StoreUnavailable: The medium failed.
        """
        ...

    async def delete(self, object_ids: Sequence[ObjectId]) -> None:
        """Remove objects; those that are not there are fine. Idempotent.

        Raises:
            StoreUnavailable: The medium failed; some may be gone.
        """
        ...

    def list_ids(self, drive_id: DriveId) -> AsyncIterator[ObjectId]:
        """Yield every object of a drive, in no order.

        What is put or deleted meanwhile may or may not be seen.
        """
        ...

    async def check_ready(self) -> None:
        """Return when the store can take objects now.

        Raises:
            StorageFull, StoreUnavailable: It cannot.
        """
        ...

    async def aclose(self) -> None:
        """Let go of threads and files. Nothing may be called afterwards. Idempotent."""
        ...


def stored_digest_of(sealed: bytes) -> bytes:
    """Return the digest of an object's bytes as stored, 32 bytes. Pure. Needs no key."""
    return blake3(sealed).digest()
