"""A map without room grows; when it may not, values leave; when even that fails, nothing breaks."""

from pathlib import Path

import pytest

from cache import BlockCache, evictor, opening, writer
from cache.check import find_contradictions
from cache.map_size import map_bytes_for
from cache.store import Store

MIB = 1024 * 1024
LIMIT_BYTES = 16 * MIB
COUNT = 100


def chunk(index: int) -> tuple[bytes, bytes]:
    return index.to_bytes(32), index.to_bytes(4) * 25_000


def unchanged(map_bytes: int, **_: int) -> int:
    return map_bytes


def run(folder: Path) -> tuple[BlockCache, int]:
    """Return the cache after COUNT chunks, and how many of them found a place."""
    cache = BlockCache.open(folder, device_key=bytes(32), limit_bytes=LIMIT_BYTES)
    kept = 0
    for index in range(COUNT):
        kept += cache.put_many("home", [chunk(index)])
        cache.pin("home", [chunk(index)[0]] if index % 50 == 0 else [])
        if index % 10 == 9:
            cache.maintain()
    for index in range(COUNT):
        assert cache.get("home", chunk(index)[0]) in (None, chunk(index)[1])
    assert cache.stats().damaged_count == 0
    assert cache.stats().refused_count == COUNT - kept
    return cache, kept


def check(cache: BlockCache, folder: Path) -> None:
    cache.close()
    store = Store.open(folder, map_bytes=map_bytes_for(LIMIT_BYTES))
    assert find_contradictions(store) == []
    store.close()


@pytest.fixture
def small_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "map_bytes_for", lambda *_, **__: 2 * MIB)


@pytest.mark.usefixtures("small_map")
def test_a_full_map_grows(tmp_path: Path) -> None:
    cache, kept = run(tmp_path)

    assert kept == COUNT
    assert cache.stats().value_count == COUNT
    check(cache, tmp_path)


@pytest.mark.usefixtures("small_map")
def test_where_it_may_not_grow_old_values_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "larger_map_bytes", unchanged)

    cache, kept = run(tmp_path)

    assert kept >= COUNT - 5
    assert cache.get("home", chunk(COUNT - 1)[0]) == chunk(COUNT - 1)[1]
    assert cache.get("home", chunk(0)[0]) == chunk(0)[1]  # pinned
    check(cache, tmp_path)


@pytest.mark.usefixtures("small_map")
def test_where_nothing_may_grow_nothing_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "larger_map_bytes", unchanged)
    monkeypatch.setattr(evictor, "map_bytes_to_evict", unchanged)

    cache, kept = run(tmp_path)

    assert kept >= 10
    check(cache, tmp_path)
