"""Notices that the machine, or this process, slept: its connections are then not to be trusted.

Whoever was at their other ends, or anything between that keeps count of connections, may have
forgotten them without a word. A call on such a connection waits for its deadline (30 s, the long
poll 70 s), and monotonic clocks stand still while a machine sleeps, so those seconds begin only
now. This clock goes on.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

LOOK_EVERY_S: Final = 2.0
SLEPT_S: Final = 5.0
"""A look that comes so much too late: nothing that runs is kept waiting for so long."""


async def watch_for_wakes(
    elapsed_s: Callable[[], float], on_wake: Callable[[float], Awaitable[None]]
) -> None:
    """Call `on_wake` with how long the sleep was, within LOOK_EVERY_S of its end. Until cancelled.

    Args:
        elapsed_s: Seconds since some moment, those asleep counted.
    """
    while True:
        looked_at_s = elapsed_s()
        await trio.sleep(LOOK_EVERY_S)
        late_s = elapsed_s() - looked_at_s - LOOK_EVERY_S
        if late_s >= SLEPT_S:
            await on_wake(late_s)
