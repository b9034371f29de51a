"""A full disk costs the cache entries; it never costs a read, and never raises."""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cache import BlockCache, CacheUnusable, Opening
from cache.check import find_contradictions
from cache.eviction import FREE_DISK_RESERVE_BYTES
from cache.store import Store

MIB = 1024 * 1024
KEY = bytes(32)
LIMIT_BYTES = 1024 * MIB


def chunk(index: int) -> tuple[bytes, bytes]:
    return index.to_bytes(32), index.to_bytes(8) * 25_000


def open_cache(folder: Path) -> BlockCache:
    return BlockCache.open(folder, device_key=KEY, limit_bytes=LIMIT_BYTES, boot_id="boot")


def fill_until_refused(cache: BlockCache) -> int:
    """Put chunks until one is refused; return how many were put, that one included."""
    for index in range(10_000):
        if cache.put_many("home", [chunk(index)]) == 0:
            return index + 1
    raise AssertionError("the disk never filled")


@contextmanager
def mounted(folder: Path, *, size_bytes: int) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)], check=True
    )
    try:
        yield folder
    finally:
        # Lazily: a test that fails may leave a cache open in here.
        subprocess.run(["umount", "-l", str(folder)], check=True)


def resize(folder: Path, size_bytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size_bytes}", str(folder)], check=True)


@contextmanager
def files_no_larger_than(size_bytes: int) -> Iterator[None]:
    """Let every write beyond `size_bytes` fail in this process (Python ignores SIGXFSZ)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="only root may mount a tmpfs"
)


def check_it_lives_on(cache: BlockCache, first_refused: int) -> None:
    """After a refusal: what is here reads well, and new chunks find a place of old ones."""
    here = cache.contains_many("home", [chunk(index)[0] for index in range(first_refused)])
    assert len(here) >= first_refused // 2
    for index in range(first_refused):
        identity, plain = chunk(index)
        assert cache.get("home", identity) == (plain if identity in here else None)
    stats = cache.stats()
    assert stats.disk_full_count >= 1
    assert stats.refused_count >= 1
    assert stats.damaged_count == 0
    assert stats.limit_bytes < LIMIT_BYTES

    refused_before = cache.stats().refused_count
    for index in range(first_refused, 3 * first_refused):
        cache.put_many("home", [chunk(index)])
    newest = chunk(3 * first_refused - 1)
    assert cache.get("home", newest[0]) == newest[1]
    assert cache.stats().refused_count - refused_before <= first_refused // 4


def check_tables(folder: Path) -> None:
    store = Store.open(folder, map_bytes=64 * MIB)
    assert find_contradictions(store) == []
    store.close()


def test_files_that_may_not_grow(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    with files_no_larger_than(8 * MIB):
        check_it_lives_on(cache, fill_until_refused(cache))
        cache.maintain()
        assert cache.pin("home", [chunk(0)[0]])
        cache.drop_view("home")
        cache.maintain()
        cache.put_many("again", [chunk(1)])
        assert cache.get("again", chunk(1)[0]) == chunk(1)[1]
        cache.close()
    check_tables(tmp_path)
    again = open_cache(tmp_path)
    assert again.opening is Opening.RESUMED
    assert again.get("again", chunk(1)[0]) == chunk(1)[1]
    again.close()


@needs_root
def test_a_full_disk_and_room_again(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", size_bytes=8 * MIB) as disk:
        cache = open_cache(disk / "cache")
        check_it_lives_on(cache, fill_until_refused(cache))
        cache.maintain()
        assert cache.stats().limit_bytes < 8 * MIB

        resize(disk, FREE_DISK_RESERVE_BYTES + 64 * MIB)
        cache.maintain()

        assert cache.stats().limit_bytes > 32 * MIB
        chunks = [chunk(index) for index in range(20_000, 20_100)]
        assert cache.put_many("home", chunks) == 100
        assert [cache.get("home", one) for one, _ in chunks] == [plain for _, plain in chunks]
        cache.close()
        check_tables(disk / "cache")


@needs_root
def test_others_have_room_on_a_disk_that_the_cache_would_fill(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", size_bytes=64 * MIB) as disk:
        cache = open_cache(disk / "cache")
        first_refused = fill_until_refused(cache)
        # A look comes after every 4 MiB at the latest.
        assert shutil.disk_usage(disk).free >= 4 * MIB
        for index in range(first_refused, 2 * first_refused):
            cache.put_many("home", [chunk(index)])
        newest = chunk(2 * first_refused - 1)
        assert cache.get("home", newest[0]) == newest[1]
        assert shutil.disk_usage(disk).free >= 4 * MIB
        cache.close()
        check_tables(disk / "cache")


@needs_root
@pytest.mark.parametrize("size_kib", [4, 8, 16, 24, 32, 40, 48, 64, 96, 128])
def test_a_disk_that_is_full_from_the_start(tmp_path: Path, size_kib: int) -> None:
    with mounted(tmp_path / "disk", size_bytes=size_kib * 1024) as disk:
        try:
            cache = open_cache(disk / "cache")
        except CacheUnusable as unusable:
            assert unusable.reason  # noqa: PT017 - either way is right, by how full it is
            return
        for index in range(4):
            cache.put_many("home", [chunk(index)])
            assert cache.get("home", chunk(index)[0]) in (None, chunk(index)[1])
            cache.put_value("home", b"key", b"value")
            assert cache.get_value("home", b"key") in (None, b"value")
        cache.maintain()
        cache.sync()
        cache.close()


@needs_root
def test_opening_again_on_a_disk_that_others_filled(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", size_bytes=8 * MIB) as disk:
        cache = open_cache(disk / "cache")
        cache.put_many("home", [chunk(1)])
        cache._folder.close()
        (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free))
        assert shutil.disk_usage(disk).free == 0

        again = open_cache(disk / "cache")
        assert again.opening is Opening.RESUMED_AFTER_CRASH
        assert again.get("home", chunk(1)[0]) == chunk(1)[1]
        again.put_many("home", [chunk(2)])
        assert again.get("home", chunk(1)[0]) == chunk(1)[1]
        again.drop_view("home")
        assert again.get("home", chunk(1)[0]) is None
        again.close()


@needs_root
def test_a_read_only_disk_is_told(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", size_bytes=8 * MIB) as disk:
        open_cache(disk / "cache").close()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(CacheUnusable, match="Read-only"):
            open_cache(disk / "cache")
