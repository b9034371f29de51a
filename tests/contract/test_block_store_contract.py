"""The promises of `BlockStore`, over every store and every wrapper."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from backend_server.blocks.block_store import (
    BlockStore,
    ObjectFault,
    ObjectId,
    ObjectRef,
    SealedObject,
    stored_digest_of,
)
from backend_server.blocks.local_folder import LocalFolderStore
from backend_server.blocks.memory import MemoryStore
from backend_server.blocks.metered import MeteredStore
from backend_server.blocks.verifying import VerifyingStore
from backend_server.blocks.worker_threads import InlineThreads, WorkerThreads
from backend_server.protocol.identity import ChunkId, DriveId

DRIVE = DriveId("00000000000000aa")
OTHER_DRIVE = DriveId("00000000000000bb")


class CountingMeter:
    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int, bool]] = []
        self.faults: list[ObjectFault] = []

    def store_called(
        self, call: str, *, objects_count: int, size_bytes: int, seconds: float, failed: bool
    ) -> None:
        self.calls.append((call, objects_count, size_bytes, failed))

    def object_faulty(self, fault: ObjectFault) -> None:
        self.faults.append(fault)


def _local(folder: Path) -> BlockStore:
    return LocalFolderStore(folder, threads=WorkerThreads("test", 2), free_bytes_min=0)


STORES: dict[str, Callable[[Path], BlockStore]] = {
    "memory": lambda folder: MemoryStore(),
    "local_folder": _local,
    "verifying(memory)": lambda folder: VerifyingStore(MemoryStore(), threads=InlineThreads()),
    "metered(memory)": lambda folder: MeteredStore(MemoryStore(), CountingMeter()),
    "metered(verifying(local_folder))": lambda folder: MeteredStore(
        VerifyingStore(_local(folder), threads=WorkerThreads("test", 1)), CountingMeter()
    ),
}


def an_object(number: int, sealed: bytes = b"", *, drive_id: DriveId = DRIVE) -> SealedObject:
    sealed = sealed or b"sealed bytes of %d" % number
    object_id = ObjectId(drive_id, ChunkId(number.to_bytes(32, "little")), generation=number + 1)
    return SealedObject(ObjectRef(object_id, stored_digest_of(sealed)), sealed)


@pytest.fixture(params=list(STORES))
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], object]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[BlockStore]:
        store = STORES[request.param](tmp_path)
        try:
            yield store
        finally:
            await store.aclose()

    return opened


async def _ids(store: BlockStore, drive_id: DriveId = DRIVE) -> set[ObjectId]:
    return {object_id async for object_id in store.list_ids(drive_id)}


async def test_what_was_put_is_handed_out_in_the_order_asked(open_store) -> None:  # type: ignore[no-untyped-def]
    async with open_store() as store:
        objects = [an_object(number, bytes([number + 1]) * (number + 1)) for number in range(20)]
        await store.put_many(objects)
        asked = [*reversed(objects), objects[3]]
        assert await store.get_many([item.ref for item in asked]) == [item.sealed for item in asked]
        assert await _ids(store) == {item.ref.object_id for item in objects}


async def test_an_unknown_object_is_a_value_and_fails_nobody_else(open_store) -> None:  # type: ignore[no-untyped-def]
    async with open_store() as store:
        await store.put_many([an_object(1)])
        found = await store.get_many([an_object(2).ref, an_object(1).ref])
        assert found == [ObjectFault.MISSING, an_object(1).sealed]


async def test_another_generation_is_another_object(open_store) -> None:  # type: ignore[no-untyped-def]
    async with open_store() as store:
        first = an_object(7)
        again = SealedObject(
            ObjectRef(first.ref.object_id._replace(generation=99), stored_digest_of(b"again")),
            b"again",
        )
        await store.put_many([first, again])
        await store.delete([first.ref.object_id])
        assert await store.get_many([first.ref, again.ref]) == [ObjectFault.MISSING, b"again"]


async def test_putting_again_keeps_what_is_there(open_store) -> None:  # type: ignore[no-untyped-def]
    async with open_store() as store:
        await store.put_many([an_object(1)])
        await store.put_many([an_object(1), an_object(2)])
        assert await store.get_many([an_object(1).ref]) == [an_object(1).sealed]
        assert len(await _ids(store)) == 2


async def test_deleting_is_idempotent_and_touches_one_drive_only(open_store) -> None:  # type: ignore[no-untyped-def]
    async with open_store() as store:
        await store.put_many([an_object(1), an_object(1, drive_id=OTHER_DRIVE)])
        await store.delete([an_object(1).ref.object_id, an_object(5).ref.object_id])
        await store.delete([an_object(1).ref.object_id])
        assert await _ids(store) == set()
        assert await _ids(store, OTHER_DRIVE) == {an_object(1, drive_id=OTHER_DRIVE).ref.object_id}


async def test_many_tasks_may_put_and_get_at_once(open_store) -> None:  # type: ignore[no-untyped-def]
    async with open_store() as store:

        async def put_and_get(start: int) -> None:
            objects = [an_object(number) for number in range(start, start + 6)]
            await store.put_many(objects)
            assert await store.get_many([item.ref for item in objects]) == [
                item.sealed for item in objects
            ]

        async with trio.open_nursery() as nursery:
            for start in range(0, 40, 3):  # groups overlap
                nursery.start_soon(put_and_get, start)
        assert len(await _ids(store)) == 45


async def test_nothing_put_is_nothing_done_and_a_store_says_that_it_is_ready(open_store) -> None:  # type: ignore[no-untyped-def]
    async with open_store() as store:
        await store.put_many([])
        assert await store.get_many([]) == []
        await store.delete([])
        await store.check_ready()
        assert await _ids(store) == set()


async def test_the_verifying_store_never_hands_out_rotten_bytes() -> None:
    memory = MemoryStore()
    meter = CountingMeter()
    store = MeteredStore(VerifyingStore(memory, threads=InlineThreads()), meter)
    await store.put_many([an_object(1), an_object(2)])
    memory.damage(an_object(1).ref.object_id)
    found = await store.get_many([an_object(1).ref, an_object(2).ref, an_object(3).ref])
    assert found == [ObjectFault.DAMAGED, an_object(2).sealed, ObjectFault.MISSING]
    assert meter.faults == [ObjectFault.DAMAGED, ObjectFault.MISSING]
    size_bytes = len(an_object(1).sealed)
    assert meter.calls == [("put", 2, 2 * size_bytes, False), ("get", 3, size_bytes, False)]
