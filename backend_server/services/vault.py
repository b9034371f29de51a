"""The vault: a drive's keys, and chunks back from wherever they are stored."""

from collections.abc import Iterable
from functools import partial

from backend_server.blocks.block_store import BlockStore, ObjectFault, ObjectId, ObjectRef
from backend_server.blocks.worker_threads import Threads
from backend_server.domain.refusals import Refusal
from backend_server.domain.vault import SealedBlock
from backend_server.metadata.block_rows import ChunkPlace, load_places
from backend_server.metadata.database import Database
from backend_server.metadata.key_rows import load_wrapped_keys
from backend_server.protocol.blocks import BlockMalformed, decode_block
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import ChunkId, DriveId
from backend_server.services.drive_keys import DriveKeys, SealBroken, unwrap_drive_keys
from backend_server.services.key_wrap import MasterKey


class Vault:
    """Implements `domain.vault.ChunkVault`.

    Unwrapped keys stay in memory, a few hundred bytes a drive in use, until the process ends.
    """

    def __init__(
        self, database: Database, store: BlockStore, master: MasterKey, *, threads: Threads
    ) -> None:
        self._database = database
        self._store = store
        self._master = master
        self._threads = threads
        self._keys: dict[DriveId, DriveKeys] = {}

    async def prepare(self, drive_id: DriveId) -> None:
        if drive_id in self._keys:
            return
        wrapped = await self._database.read(partial(load_wrapped_keys, drive_id=drive_id))
        if wrapped is None:
            raise Refusal(ErrorCode.NOT_FOUND, "No such drive.")
        self._keys[drive_id] = unwrap_drive_keys(drive_id, wrapped, self._master)

    def keys_of(self, drive_id: DriveId) -> DriveKeys:
        """The keys of a drive that was prepared."""
        return self._keys[drive_id]

    def chunk_key(self, drive_id: DriveId) -> bytes:
        return self._keys[drive_id].chunk_key

    def seal(self, drive_id: DriveId, chunk_id: ChunkId, block: bytes) -> SealedBlock:
        return self._keys[drive_id].seal(chunk_id, block)

    async def load_plaintexts(
        self, drive_id: DriveId, chunk_ids: Iterable[ChunkId]
    ) -> dict[ChunkId, bytes]:
        """As promised by `ChunkVault`; chunks that are damaged are left out too."""
        wanted = tuple(dict.fromkeys(chunk_ids))
        if not wanted:
            return {}
        await self.prepare(drive_id)
        places = await self._database.read(
            partial(load_places, drive_id=drive_id, chunk_ids=wanted)
        )
        blocks = await self.load_blocks(drive_id, list(places.values()))
        return await self._threads.run(lambda: _plaintexts(blocks))

    async def load_blocks(
        self, drive_id: DriveId, places: Iterable[ChunkPlace]
    ) -> dict[ChunkId, bytes | ObjectFault]:
        """Return the encoded (whole) blocks of stored chunks, or why there is none.

        The drive must be prepared. Never returns bytes that do not authenticate.

        Raises:
            StoreUnavailable: The block store failed.
        """
        found: dict[ChunkId, bytes | ObjectFault] = {}
        objects: list[ObjectRef] = []
        for place in places:
            if place.sealed is not None:
                found[place.chunk_id] = place.sealed
            else:
                object_id = ObjectId(drive_id, place.chunk_id, place.generation)
                objects.append(ObjectRef(object_id, place.stored_digest))
        if objects:
            for ref, item in zip(objects, await self._store.get_many(objects), strict=True):
                found[ref.object_id.chunk_id] = item
        keys = self._keys[drive_id]
        return await self._threads.run(lambda: _opened(keys, found))


def _opened(
    keys: DriveKeys, found: dict[ChunkId, bytes | ObjectFault]
) -> dict[ChunkId, bytes | ObjectFault]:
    opened: dict[ChunkId, bytes | ObjectFault] = {}
    for chunk_id, item in found.items():
        if isinstance(item, ObjectFault):
            opened[chunk_id] = item
            continue
        try:
            opened[chunk_id] = keys.open(chunk_id, item)
        except SealBroken:
            opened[chunk_id] = ObjectFault.DAMAGED
    return opened


def _plaintexts(blocks: dict[ChunkId, bytes | ObjectFault]) -> dict[ChunkId, bytes]:
    plaintexts: dict[ChunkId, bytes] = {}
    for chunk_id, block in blocks.items():
        if isinstance(block, ObjectFault):
            continue
        try:
            plaintexts[chunk_id] = decode_block(block)
        except BlockMalformed:
            # It authenticated, so it was stored like this: as good as damaged, never guessed at.
            continue
    return plaintexts
