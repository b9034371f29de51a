"""Every call of the block store fails once: nothing is lost, half there, or wrong afterwards."""

import os
from collections.abc import AsyncIterator, Sequence
from functools import partial
from itertools import count

import pytest
import trio

from backend_server.blocks.block_store import ObjectFault, ObjectId, ObjectRef, SealedObject
from backend_server.blocks.errors import StorageFull, StoreError, StoreUnavailable
from backend_server.blocks.memory import MemoryStore
from backend_server.config import ServerConfig
from backend_server.metadata.block_rows import load_upload_progress
from backend_server.protocol.blocks import decode_block
from backend_server.protocol.encoding import decode
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import DriveId
from backend_server.protocol.transfer_messages import BlocksAnswer, UploadAnswer, WantedChunk
from server_kit import World, code_of, config, open_world, prepared_config

__all__ = ["config", "prepared_config"]


class FaultyStore(MemoryStore):
    """Fails one call, before or after doing what it was asked. Arm it with `fail_at_call`."""

    def __init__(self) -> None:
        super().__init__()
        self.fail_at_call = 0
        self.error: StoreError = StoreUnavailable("as the test wants it")
        self.does_it_all_the_same = False
        self.fault_fired = False

    def _is_to_fail(self) -> bool:
        self.fail_at_call -= 1
        self.fault_fired = self.fault_fired or self.fail_at_call == 0
        return self.fail_at_call == 0

    async def put_many(self, objects: Sequence[SealedObject]) -> None:
        fails = self._is_to_fail()
        if not fails or self.does_it_all_the_same:
            await super().put_many(objects)
        if fails:
            raise self.error

    async def get_many(self, refs: Sequence[ObjectRef]) -> list[bytes | ObjectFault]:
        if self._is_to_fail():
            raise self.error
        return await super().get_many(refs)

    async def delete(self, object_ids: Sequence[ObjectId]) -> None:
        if self._is_to_fail():
            raise self.error
        await super().delete(object_ids)

    def list_ids(self, drive_id: DriveId) -> AsyncIterator[ObjectId]:
        return super().list_ids(drive_id)


async def _scenario(world: World, store: FaultyStore) -> None:
    """Send, fetch and send against a base; whatever fails is refused politely and then works."""
    device = await world.log_in()
    base = os.urandom(150_000)
    edited = base[:70_000] + b"edited" + base[70_006:]
    chunks = [os.urandom(70_000) for _ in range(3)]
    upload_path = device.path(f"blocks?upload={os.urandom(16).hex()}")
    bodies = [
        b"".join(device.frame(chunk) for chunk in [*chunks, base]),
        device.frame(edited, base),
    ]
    for body in bodies:
        answer = await device.post(upload_path, body)
        if answer.status_code != 200:
            assert store.fault_fired
            assert code_of(answer) in (ErrorCode.BUSY, ErrorCode.STORAGE_FULL)
            answer = await device.post(upload_path, body)
        assert decode(answer.content, BlocksAnswer).stored_count == (4 if body is bodies[0] else 1)
    everything = [*chunks, base, edited]
    frames = await device.fetch_all(*everything)
    if any(header.error for header, _ in frames):
        assert {header.error for header, _ in frames} <= {"", "unavailable"}
        assert store.fault_fired
        frames = await device.fetch_all(*everything)
    assert [decode_block(block) for _, block in frames] == everything
    announced = await device.announce(*everything, upload=os.urandom(16))
    assert decode(announced.content, UploadAnswer).missing == []
    missing = await device.fetch(WantedChunk(device.chunk_id(b"never sent")))
    assert missing[0][0].error == "missing"


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), StorageFull("full")])
@pytest.mark.parametrize("does_it_all_the_same", [False, True])
async def test_each_call_of_the_store_may_fail(
    config: ServerConfig, error: StoreError, does_it_all_the_same: bool
) -> None:
    async with open_world(config) as first:
        await first.log_in()
    for fail_at_call in count(1):
        store = FaultyStore()
        store.error, store.does_it_all_the_same = error, does_it_all_the_same
        async with open_world(config, store=store, make_account=False) as world:
            store.fail_at_call = fail_at_call
            await _scenario(world, store)
        if not store.fault_fired:
            assert fail_at_call > 3
            return


class MeetingStore(MemoryStore):
    """Keeps the first two groups back until both have come: two uploads at the same moment."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting_count = 0
        self._both_came = trio.Event()

    async def put_many(self, objects: Sequence[SealedObject]) -> None:
        self._waiting_count += 1
        if self._waiting_count == 2:
            self._both_came.set()
        await self._both_came.wait()
        await super().put_many(objects)


async def test_two_uploads_of_one_chunk_at_the_same_moment_leave_one_object(
    config: ServerConfig,
) -> None:
    store = MeetingStore()
    async with open_world(config, store=store) as world:
        device = await world.log_in()
        chunk = os.urandom(100_000)
        answers: list[int] = []

        async def send(upload: bytes) -> None:
            answers.append((await device.send(chunk, upload=upload)).status_code)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, b"1" * 16)
            nursery.start_soon(send, b"2" * 16)
        assert answers == [200, 200]
        drive_id = DriveId(device.drive.drive_id)
        assert len([object_id async for object_id in store.list_ids(drive_id)]) == 1
        assert await device.fetch_plain(chunk) == [chunk]


async def test_a_chunk_that_two_tries_bring_at_once_counts_once(config: ServerConfig) -> None:
    """A try that was broken off is still storing when the next one comes under the same id."""
    store = MeetingStore()
    async with open_world(config, store=store) as world:
        device = await world.log_in()
        chunk, upload = os.urandom(100_000), b"1" * 16
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(partial(device.send, chunk, upload=upload))
        progress = await world.server.database.read(
            lambda connection: load_upload_progress(
                connection, DriveId(device.drive.drive_id), upload
            )
        )
        assert progress is not None
        assert progress.received_bytes == len(chunk)
