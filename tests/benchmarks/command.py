"""The command: options, one workload after the other, clean-up whatever happens.

Exit codes: 0 all was measured (whether marks are reached or not), 1 a workload failed, 2 usage,
130 interrupted. What was measured until then is printed and written in any case.
"""

import argparse
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import benchmarks
from benchmarks.figures import Column, Figure
from benchmarks.machine import (
    CALM_SHARE,
    OthersWatch,
    describe_machine,
    file_system_of,
    wait_for_calm,
)
from benchmarks.report import Report
from benchmarks.seat import WAN_LINK, Link
from benchmarks.sites import PlainSite, Site, open_drive
from benchmarks.sizes import FULL, QUICK
from benchmarks.summaries import median
from benchmarks.table import render
from benchmarks.workloads import WORKLOADS, Workload

COLUMNS_OF_LINK: Final = {
    "loopback": (Column.PLAIN, Column.LOOPBACK),
    "wan": (Column.PLAIN, Column.WAN),
    "both": tuple(Column),
}
_LINK_OF: Final[dict[Column, Link | None]] = {Column.LOOPBACK: None, Column.WAN: WAN_LINK}


def main(words: Sequence[str] | None = None) -> int:
    options = _parse(words)
    wanted = [one for one in WORKLOADS if re.search(options.only, one.name)]
    if not wanted:
        print(f"no workload matches; there are: {', '.join(_names())}", file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(one.name for one in wanted))
        return 0
    report = Report(has_marks=not options.quick)
    code = 0
    with _interruptible():
        try:
            with _own_folder(options.dir) as top:
                _Run(options, top, report).run(wanted)
        except KeyboardInterrupt:
            report.failures.append("interrupted")
            code = 130
    if report.samples:
        print(render(report))
        print(json.dumps(report.conditions))
    if options.json:
        options.json.write_text(json.dumps(report.as_json(), indent=1) + "\n")
    for failure in report.failures:
        print(f"failed: {failure}", file=sys.stderr)
    return code or (1 if report.failures else 0)


def _names() -> list[str]:
    return [one.name for one in WORKLOADS]


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    about = (benchmarks.__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python tests/benchmarks", description=about)
    parser.add_argument(
        "--only", default="", metavar="PATTERN", help=f"of: {', '.join(_names())} (a regex)"
    )
    parser.add_argument("--link", choices=COLUMNS_OF_LINK, default="both")
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many [3]")
    parser.add_argument("--quick", action="store_true", help="small sizes, no marks")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there too")
    parser.add_argument(
        "--dir", type=Path, help="on a real disk, for some 10 GB [the temporary folder]"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=60.0,
        metavar="S",
        help="wait at most so long for a calm machine before each measurement [60]",
    )
    parser.add_argument(
        "--again",
        type=int,
        default=1,
        metavar="N",
        help="measure at most so often again while others use the machine [1]",
    )
    parser.add_argument("--list", action="store_true", help="only name the workloads")
    options = parser.parse_args(words)
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM interrupt as Ctrl-C does, and let only the first of them do so: half a clean-up
    would leave mounts behind. Every step of a clean-up has a deadline."""
    numbers = (signal.SIGINT, signal.SIGTERM)

    def interrupt(number: int, frame: FrameType | None) -> None:
        for one in numbers:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {one: signal.signal(one, interrupt) for one in numbers}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def _own_folder(parent: Path | None) -> Iterator[Path]:
    """Make a folder for everything, and remove it unless something is still mounted in it."""
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    top = Path(tempfile.mkdtemp(prefix="mountfs-figures-", dir=parent)).resolve()
    if file_system_of(top) == "tmpfs":
        print(f"beware: {top} is in memory, where an fsync costs nothing", file=sys.stderr)
    try:
        yield top
    finally:
        if f" {top}/" in Path("/proc/self/mountinfo").read_text():
            print(f"something is still mounted below {top}: left there", file=sys.stderr)
        else:
            shutil.rmtree(top, ignore_errors=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class _Sites:
    """The sites that are open; each is opened when it is first needed. Use it in a `with`."""

    def __init__(self, top: Path, alarms: list[str]) -> None:
        self._top = top
        self._alarms = alarms
        self._open: dict[Column, tuple[Site, ExitStack]] = {}
        self._opened_count = 0

    def get(self, column: Column) -> Site:
        if column not in self._open:
            self._opened_count += 1
            top = self._top / f"{self._opened_count}-{column.name.lower()}"
            closing = ExitStack()
            if column is Column.PLAIN:
                site: Site = PlainSite(top)
            else:
                drive = open_drive(column, top, _LINK_OF[column], self._alarms)
                site = closing.enter_context(drive)
            self._open[column] = site, closing
        return self._open[column][0]

    def close(self, column: Column) -> None:
        if column in self._open:
            self._open.pop(column)[1].close()

    def close_all(self) -> None:
        with ExitStack() as closing:
            while self._open:
                closing.push(self._open.popitem()[1][1])


class _Run:
    def __init__(self, options: argparse.Namespace, top: Path, report: Report) -> None:
        self._options = options
        self._report = report
        self._sizes = QUICK if options.quick else FULL
        self._alarms: list[str] = []
        self._sites = _Sites(top, self._alarms)
        report.conditions |= describe_machine(top)
        report.conditions |= {"rounds": options.rounds, "quick": options.quick}
        report.conditions["wan"] = {"rtt_ms": WAN_LINK.rtt_ms, "mbit": WAN_LINK.mbit}

    def run(self, workloads: Sequence[Workload]) -> None:
        try:
            for workload in workloads:
                for number in range(min(self._options.rounds, workload.rounds_max)):
                    for column in COLUMNS_OF_LINK[self._options.link]:
                        if column in workload.columns:
                            self._measure(workload, column, number)
        finally:
            self._sites.close_all()
            self._report.conditions["alarming_log_lines"] = self._alarms
            shares = [one for some in self._report.others_share.values() for one in some]
            if shares:
                self._report.conditions["others_cpu_share"] = {
                    "median": round(median(shares), 3),
                    "max": round(max(shares), 3),
                }

    def _measure(self, workload: Workload, column: Column, number: int) -> None:
        what = f"{workload.name}, {column.value}, round {number + 1}"
        try:
            share, found = self._measure_in_calm(workload, column, what)
        except Exception as error:
            traceback.print_exc()
            self._report.failures.append(f"{what}: {type(error).__name__}: {error}")
            # Nothing is known of its state: the next one gets a new server and a new mount.
            self._close_broken(column)
        else:
            self._report.add(column, found)
            self._report.others_share.setdefault((workload.name, column), []).append(share)

    def _measure_in_calm(
        self, workload: Workload, column: Column, what: str
    ) -> tuple[float, Mapping[Figure, float]]:
        """Return the first undisturbed sample of at most `1 + again`, else the least disturbed,
        with the share of the CPU that others took meanwhile."""
        tries: list[tuple[float, Mapping[Figure, float]]] = []
        while not tries or (tries[-1][0] > CALM_SHARE and len(tries) <= self._options.again):
            site = self._sites.get(column)
            site.clear()
            # What others still write out would be measured too.
            os.sync()
            if self._options.patience:
                wait_for_calm(self._options.patience)
            site.stay()
            _say(f"{what} …")
            watch = OthersWatch()
            found = workload.measure(site, self._sizes)
            tries.append((watch.share(), found))
            for figure, value in found.items():
                _say(f"    {figure.key} {value:,.3f} {figure.unit}")
            _say(f"    others took {tries[-1][0]:.0%} of the CPU")
        return min(tries, key=lambda one: one[0])

    def _close_broken(self, column: Column) -> None:
        try:
            self._sites.close(column)
        except Exception as error:
            self._report.failures.append(f"clean-up of {column.value}: {error}")
