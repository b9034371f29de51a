"""How large the database file may grow."""

import pytest

from cache.map_size import (
    MAP_SLACK_BYTES,
    larger_map_bytes,
    map_bytes_for,
    map_bytes_max_for,
    map_bytes_to_evict,
)

LIMITS = [0, 1 << 20, 1 << 30, 1 << 40]


@pytest.mark.parametrize("limit", LIMITS)
def test_the_map_has_room_for_the_limit_and_a_bound(limit: int) -> None:
    assert limit < map_bytes_for(limit) <= map_bytes_max_for(limit) < 2 * limit + (1 << 27)


@pytest.mark.parametrize("limit", LIMITS)
def test_growing_for_values_ends_at_the_bound(limit: int) -> None:
    sizes = [map_bytes_for(0)]
    while (larger := larger_map_bytes(sizes[-1], limit_bytes=limit)) > sizes[-1]:
        sizes.append(larger)

    assert sizes[-1] == map_bytes_max_for(limit)
    assert len(sizes) < 10
    assert larger_map_bytes(1 << 50, limit_bytes=limit) == 1 << 50


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("file_bytes", [0, 1 << 41])
def test_growing_to_evict_works_in_any_file_and_ends(limit: int, file_bytes: int) -> None:
    size = max(map_bytes_max_for(limit), file_bytes)
    steps = 0
    while (larger := map_bytes_to_evict(size, limit_bytes=limit, file_bytes=file_bytes)) > size:
        size = larger
        steps += 1

    assert steps == 4
    assert size == max(map_bytes_max_for(limit), file_bytes) + MAP_SLACK_BYTES


def test_a_file_larger_than_the_limit_opens_with_room() -> None:
    assert map_bytes_for(1 << 20, file_bytes=1 << 30) == (1 << 30) + MAP_SLACK_BYTES
