"""The soak: storm after storm, each of a seed of its own, until they are through or time is up.

    python tests/simulation --seeds 2000            # two thousand storms
    python tests/simulation --minutes 60 --first 5000
    python tests/simulation --seed 1234             # one storm, with its trace

A seed that fails is kept in seeds.txt, which the test run goes through. Exit codes: 0 nothing was
lost, 1 something was, 2 usage, 130 interrupted.
"""

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import structlog
import trio
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from trio.testing import MockClock

from simulation.seeds import keep_seed
from simulation.storm import Storm, headline, weather

TURNS_EVERY: Final = 5
"""One storm in so many is calm, and its devices take turns."""


def main(words: Sequence[str] | None = None) -> int:
    options = _parse(words)
    if options.seed is not None:
        return _one(options.seed, options.steps)
    try:
        failed = _many(options)
    except KeyboardInterrupt:
        return 130
    for seed, why in sorted(failed.items()):
        print(f"seed {seed}: {why}", file=sys.stderr)
        keep_seed(seed, why)
    print(f"{len(failed)} storms failed" if failed else "nothing was lost")
    return 1 if failed else 0


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python tests/simulation",
        description=(__doc__ or "").splitlines()[0],
        epilog="A seed that fails is kept in tests/simulation/seeds.txt.",
    )
    parser.add_argument("--seeds", type=int, default=500, help="how many storms [500]")
    parser.add_argument("--first", type=int, default=0, help="seed of the first [0]")
    parser.add_argument("--minutes", type=float, help="begin no storm after so long")
    parser.add_argument("--steps", type=int, default=80, help="of work in each [80]")
    parser.add_argument("--jobs", type=int, default=2, help="processes [2]")
    parser.add_argument("--seed", type=int, help="go through this one and show its trace")
    options = parser.parse_args(words)
    if min(options.seeds, options.steps, options.jobs) < 1:
        parser.error("--seeds, --steps and --jobs must be at least 1")
    return options


def _many(options: argparse.Namespace) -> dict[int, str]:
    """Return what failed: seed to its headline."""
    failed: dict[int, str] = {}
    until = None if options.minutes is None else time.monotonic() + options.minutes * 60
    columns = (
        TextColumn("storms"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[failed]} failed"),
    )  # fmt: skip
    with (
        ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool,
        Progress(*columns) as progress,
    ):
        task = progress.add_task("storms", total=options.seeds, failed=0)
        seeds = iter(range(options.first, options.first + options.seeds))
        for seed, why in _results(pool, seeds, options, until):
            if why:
                failed[seed] = why
                progress.console.print(f"seed {seed}: {why}")
            progress.update(task, advance=1, failed=len(failed))
    return failed


def _results(
    pool: ProcessPoolExecutor,
    seeds: Iterator[int],
    options: argparse.Namespace,
    until: float | None,
) -> Iterator[tuple[int, str]]:
    """Keep as many storms under way as there are processes; yield how each went."""
    under_way: set[Future[tuple[int, str]]] = set()
    while True:
        while len(under_way) < 2 * options.jobs:
            is_over = until is not None and time.monotonic() > until
            seed = None if is_over else next(seeds, None)
            if seed is None:
                break
            under_way.add(pool.submit(storm_of, seed, options.steps))
        if not under_way:
            return
        done = next(as_completed(under_way))
        under_way.discard(done)
        yield done.result()


def storm_of(seed: int, steps: int) -> tuple[int, str]:
    """Go through one storm; return its seed and what it broke, nothing if it did not."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    try:
        _go_through(Storm(seed, steps, is_taking_turns=seed % TURNS_EVERY == TURNS_EVERY - 1))
    except Exception as error:
        return seed, headline(error)
    return seed, ""


def _one(seed: int, steps: int) -> int:
    storm = Storm(seed, steps, is_taking_turns=seed % TURNS_EVERY == TURNS_EVERY - 1)
    try:
        _go_through(storm)
    finally:
        print("\n".join(storm.trace))
    return 0


def _go_through(storm: Storm) -> None:
    with tempfile.TemporaryDirectory(prefix="storm-") as folder:
        trio.run(weather, storm, Path(folder), clock=MockClock(autojump_threshold=0))
