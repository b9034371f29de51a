"""A second stop, at the start behind the first: what a start repairs, it must repair twice."""

import random
from typing import Final

from harness.relay import is_listening
from harness.server import START_DEADLINE_S
from harness.waiting import wait_until
from stops.house import House
from stops.stopper import How, Kind, Party, Stop

_CALLS_MAX: Final = 40
"""A start makes 20 to 60 calls of the kinds that are drawn."""


def draw_again(chance: random.Random) -> Stop:
    """Return a stop that comes early in the life of a process."""
    kind = chance.choice((Kind.WRITE, Kind.WRITE, Kind.SYNC, Kind.NAME))
    return Stop(kind, chance.randrange(1, _CALLS_MAX // (1 if kind is Kind.WRITE else 4)), How.HALF)


def stumble(house: House, party: Party, stop: Stop) -> None:
    """Start `party` with a stop. If that is not reached by the time that it answers, it is killed
    then."""
    if party is Party.CLIENT:
        if not house.server.process.is_running:
            house.start_server()
        house.start_laptop(house.stopper_of_client().environment(stop=stop))
        house.laptop.kill()
        return
    process = house.server.process
    process.kill()
    process.env = {**process.env, **house.stopper_of_server().environment(stop=stop)}
    process.start()
    wait_until(
        lambda: is_listening(house.server.port) or not process.is_running,
        deadline_s=START_DEADLINE_S,
        what="the server listens, or is stopped",
    )
    process.kill()
