"""One power loss: a recorded run, cut off anywhere, with what was not synced lost or not.

A recording, and not a log that undoes what a killed run did: one run gives every moment of both
sides, and what each knew of the other then; and which states a disk may be in stays a pure question
(`disk.py`), as in ALICE (Pillai et al., OSDI '14). The order of the records agrees with what caused
what, so any beginning is a moment that could have been.
"""

import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

from stops.disk import Disk, Image, write_image
from stops.house import House, Template
from stops.oracle import Moment, find_unlawful, find_unlike
from stops.recording import CLIENT, SCRIPT, SERVER, Record, StepMarks, load_recording
from stops.running import do_work, unmount
from stops.stopper import Party, Stop, other_boot
from stops.stumbling import stumble
from stops.verdict import find_faults
from stops.work import Step


class Fate(StrEnum):
    """What becomes of what was not synced."""

    LOST = "lost"
    KEPT = "kept"
    TORN = "torn"


@dataclass(frozen=True)
class Recording:
    """One run of the script. `before`: the folders of server and laptop as it began."""

    template: Template
    records: Sequence[Record]
    server_data: Path
    laptop_state: Path

    def disks(self) -> dict[int, Disk]:
        """Return both disks as of the beginning."""
        return {
            party: Disk(self.template.folder / path.relative_to(self._top), seen_as=path)
            for party, path in ((SERVER, self.server_data), (CLIENT, self.laptop_state))
        }

    @property
    def _top(self) -> Path:
        return self.laptop_state.parent.parent

    def points(self, party: Party, fate: Fate) -> Sequence[int]:
        """Return how many records there are before each moment that is worth a power loss. Pure.

        Only the end of a sync changes what is LOST: the moment before the next one is the hardest,
        for by then the most was promised, and the other side knows the most. Otherwise every
        record of the party is one.
        """
        number = _NUMBER_OF[party]
        own = [index for index, record in enumerate(self.records) if record.party == number]
        if fate is Fate.LOST:
            ends = [index for index in own if self.records[index].what == "E"]
            return [*ends, len(self.records)]
        return [index + 1 for index in own if self.records[index].what != "B"]


_NUMBER_OF: Final = {Party.CLIENT: CLIENT, Party.SERVER: SERVER}


def record_work(template: Template, folder: Path, steps: Sequence[Step]) -> Recording:
    """Do the work once, undisturbed and recorded. Raises StepFailed, AssertionError."""
    recorded = folder / "recording"
    with template.house(folder / "recorded") as house:
        house.start_server(house.stopper_of_server().environment(recording=recorded, party=SERVER))
        extra = house.stopper_of_client().environment(recording=recorded, party=CLIENT)
        assert house.start_laptop(extra), house.laptop.process.tail()
        marks = StepMarks(recorded)
        try:
            do_work(house.laptop, steps, on_returned=marks.mark)
        finally:
            marks.close()
        unmount(house.laptop)
        house.server.stop()
        recording = Recording(
            template, list(load_recording(recorded)), house.server_data, house.laptop_state
        )
        _check_nothing_escaped(recording)
        return recording


def _check_nothing_escaped(recording: Recording) -> None:
    """Assert that the recording, played back, gives the very folders that the run left."""
    disks = recording.disks()
    for record in recording.records:
        if record.party in disks:
            disks[record.party].apply(record)
    for party, path in ((SERVER, recording.server_data), (CLIENT, recording.laptop_state)):
        played = disks[party].image_of_all()
        for below, content in played.items():
            if below.name.endswith("-shm") or below.name == "lock.mdb":
                continue  # memory maps
            found = path / below
            assert found.is_dir() if content is None else found.read_bytes() == content, below
        left = {each.relative_to(path) for each in path.rglob("*") if not each.is_socket()}
        extra = left - {Path(below) for below in played}
        assert not extra, f"made without being seen: {extra}"


def lose_power(
    recording: Recording,
    folder: Path,
    *,
    party: Party,
    fate: Fate,
    at: int,
    seed: int,
    steps: Sequence[Step],
    moments: Sequence[Moment],
    keep: Path | None = None,
    again: Stop | None = None,
) -> list[str]:
    """Return what is wrong after `party`'s machine lost its power behind the record `at`, while
    the other was killed and lost nothing.

    Args:
        keep: Folder that gets what the power loss left, if something is wrong.
        again: The party is stopped once more when it starts next.
    """
    disks = recording.disks()
    returned = 0
    for record in recording.records[:at]:
        if record.party == SCRIPT:
            returned += 1
        else:
            disks[record.party].apply(record)
    with recording.template.house(folder) as house:
        chance = random.Random(f"{seed} {at}")
        for number, path in ((SERVER, house.server_data), (CLIENT, house.laptop_state)):
            is_dark = number == _NUMBER_OF[party]
            shutil.rmtree(path)
            image = _image_of(disks[number], fate if is_dark else Fate.KEPT, chance)
            write_image(image, path)
        if party is Party.CLIENT:
            _change_boot(house)
            house.laptop.process.expected.append("recovered copies wait")
        until = min(returned + 1, len(steps))
        done, since = steps[:until], moments[: until + 1]
        if party is Party.CLIENT:
            judge = partial(find_unlawful, moments=since, steps=done)
        else:
            judge = partial(find_unlike, moments=moments, steps=steps, count=returned)
        kept = keep / f"{party}-{fate}-{at}" if keep else None
        if kept:
            house.copy_to(kept)
        if again is not None:
            stumble(house, party, again)
        faults = find_faults(house, judge)
        if kept and not faults:
            shutil.rmtree(kept)
        return faults


def _image_of(disk: Disk, fate: Fate, chance: random.Random) -> Image:
    match fate:
        case Fate.LOST:
            return disk.image_of_synced()
        case Fate.KEPT:
            return disk.image_of_all()
        case Fate.TORN:
            return disk.image_of_some(chance)


def _change_boot(house: House) -> None:
    boot_id = house.folder / "boot_id"
    boot_id.write_text("00000000-0000-0000-0000-000000000001\n")
    house.always(house.laptop, other_boot(house.library, boot_id))
