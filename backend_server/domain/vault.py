"""The seam between the tree and the keys and blocks of a drive."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from backend_server.protocol.identity import ChunkId, DriveId


class SealedBlock(NamedTuple):
    """A block as it is kept. `stored_digest` is BLAKE3-256 of `sealed`."""

    sealed: bytes
    key_version: int
    stored_digest: bytes


class ChunkVault(Protocol):
    """Seals blocks under a drive's data key, and reads chunks back.

    The synchronous methods are for drives that were prepared; they are safe to call from any
    thread.
    """

    async def prepare(self, drive_id: DriveId) -> None:
        """Load and unwrap the drive's keys, once. Idempotent.

        Raises:
            Refusal: NOT_FOUND.
        """
        ...

    def chunk_key(self, drive_id: DriveId) -> bytes:
        """The 32 bytes that key the drive's chunk ids."""
        ...

    def seal(self, drive_id: DriveId, chunk_id: ChunkId, block: bytes) -> SealedBlock:
        """Return `block` (a whole encoded block, no delta) sealed for this drive and chunk."""
        ...

    async def load_plaintexts(
        self, drive_id: DriveId, chunk_ids: Iterable[ChunkId]
    ) -> dict[ChunkId, bytes]:
        """Return the plaintexts of those chunks that are stored; others are left out."""
        ...
