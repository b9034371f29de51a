"""A folder store on a full disk, after a crash, and when files vanish or rot."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backend_server.blocks.block_store import (
    ObjectFault,
    ObjectId,
    ObjectRef,
    SealedObject,
    stored_digest_of,
)
from backend_server.blocks.errors import StorageFull, StoreUnavailable
from backend_server.blocks.local_folder import LocalFolderStore
from backend_server.blocks.worker_threads import InlineThreads
from backend_server.protocol.identity import ChunkId, DriveId

DRIVE = DriveId("00000000000000aa")


def an_object(number: int, size_bytes: int = 100) -> SealedObject:
    sealed = bytes([number]) * size_bytes
    object_id = ObjectId(DRIVE, ChunkId(bytes([number]) * 32), generation=1)
    return SealedObject(ObjectRef(object_id, stored_digest_of(sealed)), sealed)


def a_store(folder: Path, *, free_bytes_min: int = 0) -> LocalFolderStore:
    return LocalFolderStore(folder, threads=InlineThreads(), free_bytes_min=free_bytes_min)


@contextmanager
def no_file_longer_than(size_bytes: int) -> Iterator[None]:
    """The kernel refuses longer files with EFBIG, which is how a full disk looks to a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("objects_count", [1, 3, 9])
async def test_a_group_that_does_not_fit_leaves_nothing(tmp_path: Path, objects_count: int) -> None:
    store = a_store(tmp_path)
    kept = an_object(200)
    await store.put_many([kept])
    group = [an_object(number) for number in range(objects_count)] + [an_object(99, 5000)]
    with no_file_longer_than(4096), pytest.raises(StorageFull):
        await store.put_many(group)
    assert len(_files(tmp_path)) == 1
    assert await store.get_many([kept.ref, group[0].ref]) == [kept.sealed, ObjectFault.MISSING]
    await store.put_many(group)  # there is room again
    assert await store.get_many([group[-1].ref]) == [group[-1].sealed]
    await store.aclose()


async def test_a_group_that_fails_does_not_take_older_objects_with_it(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    await store.put_many([an_object(1)])
    with no_file_longer_than(4096), pytest.raises(StorageFull):
        await store.put_many([an_object(1), an_object(2, 5000)])
    assert await store.get_many([an_object(1).ref]) == [an_object(1).sealed]
    await store.aclose()


async def test_room_for_the_database_is_left_free(tmp_path: Path) -> None:
    store = a_store(tmp_path, free_bytes_min=1 << 60)
    with pytest.raises(StorageFull):
        await store.put_many([an_object(1)])
    with pytest.raises(StorageFull):
        await store.check_ready()
    assert _files(tmp_path) == []
    await store.aclose()


async def test_what_a_crash_left_half_written_is_gone_at_the_next_start(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    await store.put_many([an_object(1)])
    await store.aclose()
    (tmp_path / "incoming" / "7").write_bytes(b"half")
    store = a_store(tmp_path)
    assert _files(tmp_path / "incoming") == []
    assert [object_id async for object_id in store.list_ids(DRIVE)] == [an_object(1).ref.object_id]
    await store.aclose()


async def test_a_medium_that_is_gone_is_unavailable_not_a_crash(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.mkdir()
    store = a_store(root)
    root.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailable):
        await store.put_many([an_object(1)])
    with pytest.raises(StoreUnavailable):
        await store.check_ready()
    await store.aclose()
