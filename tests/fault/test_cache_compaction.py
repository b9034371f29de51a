"""A limit that is lowered by much gives disk space back, and nobody notices otherwise."""

import threading
from pathlib import Path

from cache import BlockCache, Opening
from cache.check import find_contradictions
from cache.map_size import map_bytes_max_for
from cache.store import Store

MIB = 1024 * 1024
LOW_LIMIT_BYTES = 8 * MIB


def chunk_id(index: int) -> bytes:
    return index.to_bytes(32)


def content(index: int) -> bytes:
    return index.to_bytes(4) * (MIB // 4)


def open_cache(folder: Path, limit_bytes: int) -> BlockCache:
    return BlockCache.open(folder, device_key=bytes(32), limit_bytes=limit_bytes, boot_id="boot")


def large_file(folder: Path) -> BlockCache:
    cache = open_cache(folder, 256 * MIB)
    cache.put_many("home", [(chunk_id(index), content(index)) for index in range(90)])
    cache.pin("home", [chunk_id(3)])
    assert cache.stats().file_bytes > map_bytes_max_for(LOW_LIMIT_BYTES)
    return cache


def test_a_lower_limit_gives_disk_space_back_under_readers(tmp_path: Path) -> None:
    cache = large_file(tmp_path)
    is_over = threading.Event()
    seen: list[bytes | None] = []

    def read() -> None:
        while not is_over.is_set():
            seen.append(cache.read("home", chunk_id(3), 0, 4))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        cache.set_limit_bytes(LOW_LIMIT_BYTES)
        while not cache.maintain().is_done:
            pass
    finally:
        is_over.set()
        reader.join()

    assert set(seen) == {content(3)[:4]}  # a pinned chunk is never a miss
    assert cache.stats().file_bytes < 2 * LOW_LIMIT_BYTES
    assert cache.stats().used_bytes <= LOW_LIMIT_BYTES
    assert cache.get("home", chunk_id(89)) == content(89)
    assert cache.put_many("home", [(chunk_id(100), content(100))]) == 1
    cache.close()
    store = Store.open(tmp_path, map_bytes=256 * MIB)
    assert find_contradictions(store) == []
    store.close()
    assert not (tmp_path / "compact").exists()


def test_a_lower_limit_at_opening_does_too(tmp_path: Path) -> None:
    large_file(tmp_path).close()

    cache = open_cache(tmp_path, LOW_LIMIT_BYTES)
    cache.maintain()

    assert cache.opening is Opening.RESUMED
    assert cache.stats().file_bytes < 2 * LOW_LIMIT_BYTES
    assert cache.get("home", chunk_id(3)) == content(3)
    cache._folder.close()
    again = open_cache(tmp_path, LOW_LIMIT_BYTES)
    assert again.get("home", chunk_id(3)) == content(3)
    again.close()
