"""Some stops at counted calls, and some power losses; `python tests/stops` goes through all."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stops.blackout import Fate, lose_power, record_work
from stops.command import Script, make_script
from stops.house import Template, open_template
from stops.killing import stop_once
from stops.stopper import How, Kind, Party, Stop, can_build

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.slow,
    pytest.mark.skipif(not can_build(), reason="no C compiler (cc) here"),
]

PIECES = 6
"""Of the big file: less than the command's, for time."""


@dataclass(frozen=True)
class Stage:
    top: Path
    script: Script
    template: Template


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    top = tmp_path_factory.mktemp("stops")
    script = make_script(top, piece_count=PIECES)
    with open_template(top) as template:
        yield Stage(top, script, template)


@pytest.mark.parametrize(
    ("party", "stop"),
    [
        (Party.CLIENT, Stop(Kind.WRITE, 250, How.HALF)),
        (Party.SERVER, Stop(Kind.SYNC, 20, How.BEFORE)),
    ],
)
def test_stopped_at_a_call_and_nothing_is_lost(stage: Stage, party: Party, stop: Stop) -> None:
    with stage.template.house(stage.top / "house") as house:
        outcome = stop_once(house, party, stop, stage.script.steps, stage.script.moments)
    assert outcome.counted.where, f"the call was never reached: {outcome.counted}"
    assert outcome.faults == []


def test_power_is_lost_and_what_was_promised_is_there(stage: Stage) -> None:
    recording = record_work(stage.template, stage.top, stage.script.steps)
    for party, fate, share in (
        (Party.CLIENT, Fate.LOST, 0.8),
        (Party.SERVER, Fate.TORN, 0.5),
    ):
        points = recording.points(party, fate)
        faults = lose_power(
            recording, stage.top / "house", party=party, fate=fate,
            at=points[int(len(points) * share)], seed=1,
            steps=stage.script.steps, moments=stage.script.moments,
        )  # fmt: skip
        assert faults == [], f"{party} {fate}"
