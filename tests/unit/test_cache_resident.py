"""Pages of LMDB's map are let go, and what they held stays readable."""

import mmap
import sys
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


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_mappings_are_found_again_where_the_map_has_moved_to(tmp_path: Path) -> None:
    """Advice for where the map was would empty memory that is somebody else's by now."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 32 * MIB)
    pages = MappedPages(path)
    with path.open("rb") as file:
        with mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ):
            pages.release()
        pages.forget()
        in_its_place = mmap.mmap(-1, 32 * MIB)
        in_its_place[:] = b"y" * 32 * MIB
        with mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ) as mapped:
            assert mapped[:] == b"x" * 32 * MIB
            before = resident_file_bytes()

            pages.release()

            assert resident_file_bytes() < before - 24 * MIB
            assert in_its_place[:] == b"y" * 32 * MIB
        in_its_place.close()


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_a_cache_that_moves_its_map_goes_on_releasing_the_right_pages(tmp_path: Path) -> None:
    store = Store.open(tmp_path, map_bytes=64 * MIB)
    with store.writing() as change:
        for index in range(64):
            change.put(b"items", index.to_bytes(4), b"v" * 64 * 1024)

    def is_whole() -> bool:
        with store.reading() as found:
            values = [found.get(b"items", index.to_bytes(4)) for index in range(64)]
            return all(value is not None and value == b"v" * 64 * 1024 for value in values)

    store.release_mapped_pages()
    store.grow(256 * MIB)
    bystander = bytearray(b"z" * 64 * MIB)
    for is_compacted in (False, True):
        if is_compacted:
            store.compact(map_bytes=256 * MIB)
        assert is_whole()
        store.release_mapped_pages()
        assert is_whole()
        assert bystander == b"z" * 64 * MIB
    store.close()
    store.release_mapped_pages()


def test_nothing_mapped_is_nothing_to_do(tmp_path: Path) -> None:
    MappedPages(tmp_path / "none").release()
