"""Which of many chunks are lost is answered the same, however few or many are listed."""

import os

import pytest
from sqlalchemy import create_engine

from backend_server.metadata.lost_rows import LostChunk, list_lost, load_lost_among
from backend_server.metadata.tables import catalogue
from backend_server.protocol.identity import ChunkId, DriveId

DRIVE = DriveId("0" * 16)


@pytest.mark.parametrize("asked_count", [20, 1500])
@pytest.mark.parametrize("listed_count", [7, 1000, 1001, 1200])
def test_those_of_the_asked_that_are_listed(asked_count: int, listed_count: int) -> None:
    listed = [LostChunk(ChunkId(os.urandom(32)), 100 + i, 5, 1) for i in range(listed_count)]
    both = listed[::3]
    asked = [each.chunk_id for each in both]
    asked += [ChunkId(os.urandom(32)) for _ in range(asked_count - len(both))]
    engine = create_engine("sqlite://")
    try:
        with engine.begin() as connection:
            catalogue.create_all(connection)
            list_lost(connection, DRIVE, listed, now_ms=1)
            list_lost(connection, DriveId("1" * 16), [LostChunk(asked[-1], 1, 5, 1)], now_ms=1)
            found = load_lost_among(connection, DRIVE, asked)
    finally:
        engine.dispose()
    assert found == {each.chunk_id: each.length for each in both}
