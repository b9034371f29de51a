"""What every `ChunkCache` promises, over the one on disk and the one in memory."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cache import BlockCache, ChunkCache, MemoryCache
from cache.rows import charged_bytes_of

KIB = 1024
MIB = 1024 * KIB

Opener = Callable[[int], ChunkCache]


@pytest.fixture(params=["disk", "memory"])
def open_cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    opened: list[ChunkCache] = []

    def open_with(limit_bytes: int) -> ChunkCache:
        cache: ChunkCache
        if request.param == "memory":
            cache = MemoryCache(limit_bytes=limit_bytes)
        else:
            cache = BlockCache.open(
                tmp_path / f"cache{len(opened)}", device_key=bytes(32), limit_bytes=limit_bytes
            )
        opened.append(cache)
        return cache

    yield open_with
    for cache in opened:
        cache.close()


@pytest.fixture
def cache(open_cache: Opener) -> ChunkCache:
    return open_cache(64 * MIB)


def chunk_id(index: int) -> bytes:
    return index.to_bytes(32)


def content(index: int, length: int) -> bytes:
    return (b"%08d" % index * (length // 8 + 1))[:length]


def numbered(indices: range, length: int) -> list[tuple[bytes, bytes]]:
    return [(chunk_id(index), content(index, length)) for index in indices]


def ids(*indices: int) -> list[bytes]:
    return [chunk_id(index) for index in indices]


LENGTHS = [0, 1, 4095, 32767, 32768, 32769, 98303, 98304, 98305, 262144, 1048576]


@pytest.mark.parametrize("length", LENGTHS)
def test_what_was_put_comes_back(cache: ChunkCache, length: int) -> None:
    assert cache.put_many("home", [(chunk_id(1), content(1, length))]) == 1

    assert cache.get("home", chunk_id(1)) == content(1, length)
    assert cache.read("home", chunk_id(1), 0, length) == content(1, length)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_range_is_the_slice_of_the_chunk(cache: ChunkCache, length: int) -> None:
    plain = content(2, length)
    cache.put_many("home", [(chunk_id(2), plain)])
    edges = [0, 1, 4096, 32767, 32768, 98303, 98304, 98305, length - 1, length, length + 1, 2 * MIB]

    for offset in (edge for edge in edges if edge >= 0):
        for size in (0, 1, 4096, 32768, 98304, length):
            assert cache.read("home", chunk_id(2), offset, size) == plain[offset : offset + size]


def test_what_was_never_put_is_a_miss(cache: ChunkCache) -> None:
    assert cache.get("home", chunk_id(1)) is None
    assert cache.read("home", chunk_id(1), 200_000, 1) is None
    assert cache.get_value("home", b"manifest") is None
    assert cache.contains_many("home", ids(1, 2)) == set()

    cache.put_many("home", numbered(range(1, 2), 10))

    assert cache.get("home", chunk_id(2)) is None
    assert cache.read("home", chunk_id(2), 200_000, 1) is None
    assert cache.contains_many("home", ids(1, 2)) == {chunk_id(1)}
    assert cache.stats().miss_count == 5
    assert cache.stats().hit_count == 0


def test_views_are_apart(cache: ChunkCache) -> None:
    cache.put_many("one", [(chunk_id(1), b"of one")])
    cache.put_many("two", [(chunk_id(1), b"of two")])

    assert cache.get("one", chunk_id(1)) == b"of one"
    assert cache.get("two", chunk_id(1)) == b"of two"


def test_values_and_chunks_are_apart(cache: ChunkCache) -> None:
    cache.put_many("home", [(b"key", b"a chunk")])
    assert cache.put_value("home", b"key", b"a value")

    assert cache.get("home", b"key") == b"a chunk"
    assert cache.get_value("home", b"key") == b"a value"


def test_a_value_is_replaced(cache: ChunkCache) -> None:
    cache.put_value("home", b"key", bytes(200_000))
    once = cache.stats()
    cache.put_value("home", b"key", b"short")

    assert cache.get_value("home", b"key") == b"short"
    assert cache.stats().value_count == 1
    assert cache.stats().used_bytes < once.used_bytes


def test_a_chunk_put_twice_counts_once(cache: ChunkCache) -> None:
    assert cache.put_many("home", numbered(range(3), 1000)) == 3
    once = cache.stats()

    assert cache.put_many("home", numbered(range(3), 1000)) == 3

    assert cache.stats().used_bytes == once.used_bytes == 3 * charged_bytes_of(1000)
    assert cache.stats().value_count == 3


def test_removed_chunks_are_gone(cache: ChunkCache) -> None:
    cache.put_many("home", numbered(range(4), 100_000))

    assert cache.remove_many("home", ids(1, 3, 9)) == 2

    assert cache.contains_many("home", ids(0, 1, 2, 3)) == set(ids(0, 2))
    assert cache.get("home", chunk_id(1)) is None
    assert cache.stats().used_bytes == 2 * charged_bytes_of(100_000)


def test_a_dropped_view_is_unreadable_at_once_and_its_space_comes_back(cache: ChunkCache) -> None:
    cache.put_many("gone", numbered(range(10), 50_000))
    cache.put_value("gone", b"key", b"value")
    cache.pin("gone", ids(1))
    cache.put_many("kept", numbered(range(1), 50_000))

    cache.drop_view("gone")

    assert cache.get("gone", chunk_id(1)) is None
    assert cache.get_value("gone", b"key") is None
    assert cache.contains_many("gone", ids(1)) == set()
    assert cache.get("kept", chunk_id(0)) == content(0, 50_000)
    while not cache.maintain(count_max=4).is_done:
        pass
    assert cache.stats().used_bytes == charged_bytes_of(50_000)
    assert cache.stats().pinned_bytes == 0


def test_a_dropped_view_can_begin_anew(cache: ChunkCache) -> None:
    cache.put_many("home", [(chunk_id(1), b"before")])
    cache.drop_view("home")
    cache.put_many("home", [(chunk_id(2), b"after")])
    while not cache.maintain().is_done:
        pass

    assert cache.get("home", chunk_id(1)) is None
    assert cache.get("home", chunk_id(2)) == b"after"
    assert cache.stats().value_count == 1


def test_the_limit_holds_and_the_oldest_leave(open_cache: Opener) -> None:
    each = charged_bytes_of(100_000)
    cache = open_cache(20 * each)

    for index in range(100):
        assert cache.put_many("home", numbered(range(index, index + 1), 100_000)) == 1
        assert cache.stats().used_bytes <= 20 * each

    here = cache.contains_many("home", ids(*range(100)))
    assert here == set(ids(*range(100 - len(here), 100)))
    assert len(here) >= 16


def test_use_keeps_a_chunk(open_cache: Opener) -> None:
    each = charged_bytes_of(100_000)
    cache = open_cache(20 * each)
    cache.put_many("home", numbered(range(20), 100_000))

    for index in range(20, 60):
        assert cache.get("home", chunk_id(0)) is not None
        cache.maintain()
        cache.put_many("home", numbered(range(index, index + 1), 100_000))

    assert cache.get("home", chunk_id(0)) == content(0, 100_000)


def test_a_use_counts_before_it_is_written_down(open_cache: Opener) -> None:
    each = charged_bytes_of(100_000)
    cache = open_cache(20 * each)
    cache.put_many("home", numbered(range(20), 100_000))
    assert cache.get("home", chunk_id(0)) is not None

    cache.put_many("home", numbered(range(20, 22), 100_000))

    assert cache.contains_many("home", ids(0, 1)) == set(ids(0))


def test_a_cache_full_of_what_was_just_used_still_makes_room(open_cache: Opener) -> None:
    each = charged_bytes_of(100_000)
    cache = open_cache(20 * each)
    cache.put_many("home", numbered(range(20), 100_000))
    for index in reversed(range(20)):
        assert cache.get("home", chunk_id(index)) is not None

    assert cache.put_many("home", numbered(range(20, 22), 100_000)) == 2

    here = cache.contains_many("home", ids(*range(22)))
    assert here == set(ids(*range(len(here) - 2), 20, 21))


def test_upkeep_goes_from_the_high_to_the_low_watermark(open_cache: Opener) -> None:
    each = charged_bytes_of(100_000)
    cache = open_cache(100 * each)
    cache.put_many("home", numbered(range(95), 100_000))
    assert cache.maintain().evicted_count == 0

    cache.put_many("home", numbered(range(95, 100), 100_000))
    report = cache.maintain()

    assert report.is_done
    assert report.evicted_bytes == report.evicted_count * each
    assert cache.stats().used_bytes <= 85 * each
    assert cache.stats().used_bytes > 83 * each


def test_upkeep_is_done_although_reads_go_on(cache: ChunkCache) -> None:
    cache.put_many("home", numbered(range(20), 1000))
    for index in range(20):
        cache.get("home", chunk_id(index))
    reads_before = cache.stats().hit_count
    assert not cache.maintain(count_max=0).is_done

    while not cache.maintain(count_max=8).is_done:
        cache.get("home", chunk_id(3))

    assert cache.stats().hit_count - reads_before <= 4


def test_a_lower_limit_is_reached_in_bounded_steps(open_cache: Opener) -> None:
    each = charged_bytes_of(100)
    cache = open_cache(1000 * each)
    cache.put_many("home", numbered(range(500), 100))
    cache.set_limit_bytes(100 * each)

    reports = [cache.maintain(count_max=50)]
    while not reports[-1].is_done:
        reports.append(cache.maintain(count_max=50))

    assert max(report.evicted_count for report in reports) <= 50
    assert cache.stats().used_bytes <= 85 * each


def test_pinned_chunks_stay_and_unpinned_ones_may_leave(open_cache: Opener) -> None:
    each = charged_bytes_of(100_000)
    cache = open_cache(20 * each)
    assert cache.pin("home", ids(0, 1))  # before it is here
    cache.put_many("home", numbered(range(10), 100_000))
    assert cache.pin("home", ids(1, 2))  # after, and 1 a second time
    assert cache.stats().pinned_bytes == 3 * each

    cache.put_many("home", numbered(range(10, 60), 100_000))
    assert cache.contains_many("home", ids(0, 1, 2)) == set(ids(0, 1, 2))

    assert cache.unpin("home", ids(0, 1, 2))
    assert cache.stats().pinned_bytes == each
    cache.put_many("home", numbered(range(60, 100), 100_000))
    assert cache.contains_many("home", ids(0, 1, 2)) == set(ids(1))

    assert cache.unpin("home", ids(1, 1))  # once too often changes nothing
    assert cache.stats().pinned_bytes == 0


def test_chunks_in_use_stay(open_cache: Opener) -> None:
    each = charged_bytes_of(100_000)
    cache = open_cache(20 * each)
    cache.put_many("home", numbered(range(10), 100_000))

    with cache.in_use("home", ids(0, 1)):
        cache.hold("home", ids(0))
        cache.put_many("home", numbered(range(10, 60), 100_000))
        assert cache.contains_many("home", ids(0, 1, 2)) == set(ids(0, 1))

    cache.put_many("home", numbered(range(60, 120), 100_000))
    assert cache.contains_many("home", ids(0, 1)) == set(ids(0))
    cache.release("home", ids(0))


def test_what_finds_no_place_is_refused_and_counted(open_cache: Opener) -> None:
    each = charged_bytes_of(100_000)
    cache = open_cache(10 * each)
    cache.pin("home", ids(*range(9)))
    cache.put_many("home", numbered(range(9), 100_000))

    assert cache.put_many("home", numbered(range(9, 12), 100_000)) == 1

    assert cache.stats().refused_count == 2
    assert cache.stats().used_bytes <= 10 * each
    assert cache.contains_many("home", ids(*range(9))) == set(ids(*range(9)))


def test_one_chunk_larger_than_the_cache_is_refused(open_cache: Opener) -> None:
    cache = open_cache(MIB)
    cache.put_many("home", numbered(range(2), 1000))

    assert cache.put_many("home", numbered(range(9, 10), 2 * MIB)) == 0

    assert cache.get("home", chunk_id(9)) is None


def test_after_close_everything_is_a_miss(cache: ChunkCache) -> None:
    cache.put_many("home", numbered(range(2), 1000))
    cache.close()
    cache.close()

    assert cache.get("home", chunk_id(0)) is None
    assert cache.contains_many("home", ids(0)) == set()
    assert cache.put_many("home", numbered(range(2), 1000)) == 0
    assert cache.maintain().is_done
