"""Pages of LMDB's map are let go, and what they held stays readable."""

import mmap
import sys
from pathlib import Path

import pytest

from cache import BlockCache
from cache.resident import release_mapped_pages

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

        release_mapped_pages(path)

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


def test_nothing_mapped_is_nothing_to_do(tmp_path: Path) -> None:
    release_mapped_pages(tmp_path / "none")
