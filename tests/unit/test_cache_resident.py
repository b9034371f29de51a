"""Pages of LMDB's map are let go, and what they held stays readable."""

import mmap
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cache import BlockCache
from cache.resident import MappedPages
from cache.store import Store

MIB = 1024 * 1024


def resident_file_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssFile:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssFile")


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_released_pages_leave_the_process_and_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 32 * MIB)
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ) as mapped,
    ):
        assert mapped[:] == b"x" * 32 * MIB
        before = resident_file_bytes()

        MappedPages(path).release()

        assert resident_file_bytes() < before - 24 * MIB
        assert mapped[:] == b"x" * 32 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_streaming_through_the_cache_does_not_grow_the_process(tmp_path: Path) -> None:
    cache = BlockCache.open(tmp_path, device_key=bytes(32), limit_bytes=512 * MIB)
    chunk = bytes(MIB)
    cache.put_many("home", [(index.to_bytes(4), chunk) for index in range(200)])
    before = resident_file_bytes()

    for index in range(200):
        assert cache.get("home", index.to_bytes(4)) == chunk

    assert resident_file_bytes() - before < 100 * MIB
    cache.close()


def private_memory() -> mmap.mmap:
    """Memory as a program allocates it: what the advice would empty."""
    memory = mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[:] = b"y" * 64 * MIB
    return memory


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_what_is_mapped_where_a_closed_map_was_keeps_its_bytes(tmp_path: Path) -> None:
    closed = Store.open(tmp_path, map_bytes=64 * MIB)
    closed.release_mapped_pages()
    closed.close()
    following = Store.open(tmp_path, map_bytes=64 * MIB)
    # As a reader does that is late: the other store's map is not its own.
    closed.release_mapped_pages()
    following.close()
    bystanders = [private_memory() for _ in range(3)]

    closed.release_mapped_pages()
    following.release_mapped_pages()

    for bystander in bystanders:
        assert bystander[:] == b"y" * 64 * MIB
        bystander.close()


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_a_map_that_moves_is_released_where_it_is(tmp_path: Path) -> None:
    store = Store.open(tmp_path, map_bytes=64 * MIB)
    with store.writing() as change:
        for index in range(512):
            change.put(b"items", index.to_bytes(4), b"v" * 64 * 1024)

    def read_all() -> None:
        with store.reading() as found:
            values = [found.get(b"items", index.to_bytes(4)) for index in range(512)]
            assert all(value is not None and value == b"v" * 64 * 1024 for value in values)

    moves: list[Callable[[], object]] = [
        store.file_bytes,  # moves nothing
        lambda: store.grow(256 * MIB),
        lambda: store.compact(map_bytes=256 * MIB),
    ]
    bystanders: list[mmap.mmap] = []
    for move in moves:
        store.release_mapped_pages()
        move()
        bystanders.append(private_memory())
        read_all()
        before = resident_file_bytes()
        store.release_mapped_pages()
        assert resident_file_bytes() < before - 24 * MIB
        read_all()
    store.close()
    for bystander in bystanders:
        assert bystander[:] == b"y" * 64 * MIB
        bystander.close()


def test_nothing_mapped_is_nothing_to_do(tmp_path: Path) -> None:
    MappedPages(tmp_path / "none").release()
