"""The reaper's loop: goes on whatever happens, at its pace."""

import pytest
import trio
import trio.testing

from backend_server.maintenance.reap import reap_for_ever
from backend_server.metadata.errors import MetadataUnavailable


async def test_the_loop_survives_a_database_that_is_away(
    autojump_clock: trio.testing.MockClock,
) -> None:
    rounds: list[float] = []

    async def reap() -> int:
        rounds.append(trio.current_time())
        if len(rounds) == 2:
            raise MetadataUnavailable("away")
        return len(rounds) % 2

    with trio.move_on_after(35):
        await reap_for_ever(reap, every_s=10)
    assert rounds == pytest.approx([0, 10, 20, 30])


async def test_a_mistake_of_ours_is_not_swallowed() -> None:
    async def reap() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await reap_for_ever(reap)
