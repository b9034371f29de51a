"""Readers in several threads beside a writer, upkeep, dropped views and a growing map."""

import threading
from collections.abc import Callable
from pathlib import Path

from cache import BlockCache
from cache.check import find_contradictions
from cache.store import Store

KIB = 1024
LIMIT_BYTES = 4 * 1024 * KIB
ROUNDS = 60
PINNED = b"pinned"


def chunk_id(index: int) -> bytes:
    return index.to_bytes(32)


def content(index: int) -> bytes:
    return index.to_bytes(4) * (10 * KIB + index % 7 * 8 * KIB)


def test_readers_see_whole_chunks_or_none_whatever_the_writers_do(tmp_path: Path) -> None:
    cache = BlockCache.open(tmp_path, device_key=bytes(32), limit_bytes=LIMIT_BYTES)
    cache.pin("home", [PINNED])
    cache.put_many("home", [(PINNED, content(7))])
    is_over = threading.Event()
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                failures.append(error)
                is_over.set()

        return threading.Thread(target=run)

    def write() -> None:
        for start in range(ROUNDS):
            batch = range(start * 5, start * 5 + 10)
            cache.put_many("home", [(chunk_id(index), content(index)) for index in batch])
            cache.put_many("away", [(chunk_id(index), content(index)) for index in batch])
            if start % 20 == 19:
                cache.drop_view("away")
            # Grows the map under the readers.
            cache.set_limit_bytes(LIMIT_BYTES + start * 64 * KIB)
            with cache._turn:
                assert cache._writer._grow_map()
        is_over.set()

    def keep_up() -> None:
        while not is_over.is_set():
            cache.maintain(count_max=64)

    def read() -> None:
        index = 0
        while not is_over.is_set():
            index = (index + 37) % (ROUNDS * 5)
            # Not for a moment is it a miss, also while the map grows.
            assert cache.get("home", PINNED) == content(7)
            for view in ("home", "away"):
                identity = chunk_id(index)
                got = cache.read(view, identity, 100, 5000)
                assert got in (None, content(index)[100:5100])
                with cache.in_use(view, [identity]):
                    # Seen while held means here until released, unless its view was dropped.
                    if view == "home" and cache.contains_many(view, [identity]):
                        assert cache.get(view, identity) == content(index)

    threads = [guarded(write), guarded(keep_up), *(guarded(read) for _ in range(3))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert cache.stats().damaged_count == 0
    assert cache.stats().hit_count > 0
    while not cache.maintain().is_done:
        pass
    cache.close()
    store = Store.open(tmp_path, map_bytes=2 * LIMIT_BYTES)
    assert find_contradictions(store) == []
    store.close()


def test_what_is_about_to_leave_is_a_miss_to_whoever_comes_now(tmp_path: Path) -> None:
    cache = BlockCache.open(tmp_path, device_key=bytes(32), limit_bytes=LIMIT_BYTES)
    cache.put_many("home", [(chunk_id(index), content(index)) for index in range(8)])
    cache.set_limit_bytes(cache.stats().used_bytes // 2)
    cache.hold("home", [chunk_id(0)])
    upkeep = threading.Thread(target=cache.maintain)

    # The eviction has chosen, and waits to write.
    with cache._folder.store.writing():
        upkeep.start()
        while not cache._condition.leaving:
            pass
        seen = cache.contains_many("home", [chunk_id(index) for index in range(8)])
        read = {index for index in range(8) if cache.get("home", chunk_id(index)) is not None}
        cache.hold("home", [chunk_id(index) for index in range(8)])
    upkeep.join()

    assert chunk_id(0) in seen
    assert seen == {chunk_id(index) for index in read}
    assert 0 < len(seen) < 8
    assert cache.contains_many("home", [chunk_id(index) for index in range(8)]) == seen
    cache.close()
