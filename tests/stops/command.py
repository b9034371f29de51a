"""The command: options, the sweep over the points, what failed, and how to do it again.

Exit codes: 0 nothing was wrong, 1 something was, 2 usage, 130 interrupted.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import stops
from stops.blackout import Fate, lose_power, record_work
from stops.house import Template, open_template
from stops.killing import stop_once
from stops.oracle import Moment, Oracle
from stops.stopper import How, Kind, Party, Stop
from stops.stumbling import draw_again
from stops.work import PIECE_COUNT, Step, make_base, plan_work

_HOW_OF: Final = {"before": How.BEFORE, "half": How.HALF, "after": How.AFTER}


@dataclass(frozen=True)
class Script:
    """The steps, and what they leave."""

    steps: Sequence[Step]
    moments: Sequence[Moment]


@dataclass(frozen=True)
class Point:
    """`words` are the options that do just this one again."""

    words: str
    run: Callable[[], tuple[str, list[str]]]


def main(words: Sequence[str] | None = None) -> int:
    options = _parse(words)
    # Also when told to end by another program: no mount and no process may stay.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    point_count = 0
    failed: list[str] = []
    began_s = time.monotonic()
    try:
        with ExitStack() as at_end:
            made = tempfile.TemporaryDirectory(prefix="stops-", dir=options.dir)
            top = Path(at_end.enter_context(made))
            script = make_script(top)
            template = at_end.enter_context(open_template(top))
            for point in _plan(options, template, script, top):
                where, faults = point.run()
                point_count += 1
                failed += [point.words] if faults else []
                elapsed_s = time.monotonic() - began_s
                verdict = "FAULT" if faults else "ok"
                print(f"{elapsed_s:7.1f} s  {verdict:5}  {point.words}  {where}", flush=True)
                for fault in faults:
                    print(fault, file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        return 130
    print(f"{point_count} points, {len(failed)} of them with faults")
    for words_again in failed:
        print(f"again: python tests/stops {words_again}")
    return 1 if failed else 0


def make_script(top: Path, *, piece_count: int = PIECE_COUNT) -> Script:
    """Return the script, and what it leaves on a plain folder below `top`."""
    steps = plan_work(piece_count=piece_count)
    root = top / "oracle"
    root.mkdir()
    make_base(root)
    oracle = Oracle(root)
    try:
        oracle.begin()
        for step in steps:
            oracle.make(step)
    finally:
        oracle.close()
    return Script(steps, oracle.moments)


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    about = (stops.__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python tests/stops", description=about)
    parser.add_argument("--of", type=Party, choices=list(Party), action="append", help="[both]")
    parser.add_argument(
        "--kind", type=str.upper, choices=[kind.name for kind in Kind], action="append",
        help="of calls; may be given several times [all]",
    )  # fmt: skip
    parser.add_argument("--how", choices=list(_HOW_OF), action="append", help="[all that differ]")
    parser.add_argument(
        "--power", type=Fate, choices=list(Fate), action="append",
        help="lose power instead: what was not synced is lost, kept, or some of it",
    )  # fmt: skip
    parser.add_argument(
        "--again", action="store_true", help="stop once more, at random, at the start that follows"
    )
    parser.add_argument("--every", type=int, default=1, help="so many points are one [1]")
    parser.add_argument("--first", type=int, default=1, help="point to begin with [1]")
    parser.add_argument("--last", type=int, help="point to end with")
    parser.add_argument("--seed", type=int, default=1, help="of what is torn [1]")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR",
        help="leave the folders of what failed there: as they were in the end, or as the power "
        "loss left them",
    )  # fmt: skip
    parser.add_argument("--dir", type=Path, help="on a real disk [the temporary folder]")
    options = parser.parse_args(words)
    if options.every < 1 or options.first < 1:
        parser.error("--every and --first must be 1 or more")
    options.of = options.of or list(Party)
    return options


def _plan(
    options: argparse.Namespace, template: Template, script: Script, top: Path
) -> Iterator[Point]:
    for party in options.of:
        if options.power:
            yield from _power_points(options, party, template, script, top)
        else:
            yield from _stop_points(options, party, template, script, top)


def _stop_points(
    options: argparse.Namespace, party: Party, template: Template, script: Script, top: Path
) -> Iterator[Point]:
    def run(stop: Stop | None) -> tuple[str, list[str]]:
        with template.house(top / "house") as house:
            outcome = stop_once(house, party, stop, script.steps, script.moments, again(stop))
            if outcome.faults and options.keep and stop is not None:
                house.clean_up()
                house.copy_to(options.keep / f"{party}-{stop.kind.name.lower()}-{stop.number}")
        totals.append(outcome.counted.calls)
        where = outcome.counted.where or "not reached"
        return f"step {outcome.step_count}: {where}", outcome.faults

    def again(stop: Stop | None) -> Stop | None:
        return draw_again(random.Random(f"{options.seed} {stop}")) if options.again else None

    totals: list[Mapping[Kind, int]] = []
    if options.last is None:
        yield Point(f"--of {party} (undisturbed)", partial(run, None))
    kinds = [Kind[name] for name in options.kind or [kind.name for kind in Kind]]
    for kind in kinds:
        last = options.last or totals[0][kind]
        for number in range(options.first, last + 1, options.every):
            for how in options.how or _hows_of(kind):
                stop = Stop(kind, number, _HOW_OF[how])
                words = f"--of {party} --kind {kind.name.lower()} --how {how}"
                words += f" --first {number} --last {number}"
                words += f" --again --seed {options.seed}" if options.again else ""
                yield Point(words, partial(run, stop))


def _hows_of(kind: Kind) -> Sequence[str]:
    """Return how a stop at a call of `kind` leaves different things: behind one is before another,
    but for what others hear of it."""
    if kind in (Kind.WRITE, Kind.SEND):
        return ("before", "half", "after") if kind is Kind.SEND else ("before", "half")
    return ("before", "after") if kind is Kind.REPLY else ("before",)


def _power_points(
    options: argparse.Namespace, party: Party, template: Template, script: Script, top: Path
) -> Iterator[Point]:
    recording = record_work(template, top, script.steps)
    for fate in options.power:
        points = recording.points(party, fate)
        last = min(options.last or len(points), len(points))
        for number in range(options.first, last + 1, options.every):
            words = f"--of {party} --power {fate} --seed {options.seed}"
            words += f" --first {number} --last {number}" + (" --again" if options.again else "")

            def run(at: int = points[number - 1], fate: Fate = fate) -> tuple[str, list[str]]:
                record = recording.records[at - 1]
                faults = lose_power(
                    recording, top / "house", party=party, fate=fate, at=at, seed=options.seed,
                    steps=script.steps, moments=script.moments, keep=options.keep,
                    again=draw_again(random.Random(f"{options.seed} {at}"))
                    if options.again else None,
                )  # fmt: skip
                return f"behind {record.what} {record.path}", faults

            yield Point(words, run)
