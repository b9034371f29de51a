"""What befalls the two devices, and when."""

import random
from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple


class Blow(Enum):
    CUT = "the link is cut"
    HEAL = "the link heals"
    KILL_MOUNT = "the first device's mount is killed"
    KILL_SERVER = "the server is killed"


class Event(NamedTuple):
    at_s: float
    blow: Blow


CUT_S_MAX: Final = 120.0
_CUT_SHARE: Final = (0.15, 0.3)
_PEACE_SHARE: Final = (0.02, 0.06)


def plan_ordeal(chance: random.Random, length_s: float) -> Sequence[Event]:
    """Return the blows of a run of `length_s`, in order; whatever was cut heals. Pure.

    Long cuts, at most two minutes each, with a kill in the middle of every other one; kills of the
    mount and of the server between them.
    """
    events: list[Event] = []
    at_s = 0.0
    cut_count = 0
    while True:
        at_s += length_s * chance.uniform(*_PEACE_SHARE)
        blow = chance.choice([Blow.CUT, Blow.CUT, Blow.KILL_MOUNT, Blow.KILL_SERVER])
        cut_s = min(length_s * chance.uniform(*_CUT_SHARE), CUT_S_MAX)
        if at_s + (cut_s if blow is Blow.CUT else 0) > length_s:
            return events
        events.append(Event(at_s, blow))
        if blow is Blow.CUT:
            if cut_count % 2:
                events.append(Event(at_s + cut_s / 2, Blow.KILL_MOUNT))
            cut_count += 1
            at_s += cut_s
            events.append(Event(at_s, Blow.HEAL))
