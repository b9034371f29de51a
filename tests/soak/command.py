"""The command: options, the run, the progress, the verdict, clean-up whatever happens.

Exit codes: 0 nothing grew and nothing was lost, 1 something did, 2 usage, 130 interrupted.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from math import inf
from pathlib import Path
from typing import Final, NamedTuple

import soak
from harness.device import Device
from harness.mount import Mount, check_everything_arrived
from harness.server import Server
from harness.waiting import wait_until
from soak.bounds import CACHE_BYTES, KEPT_S, bounds_of
from soak.day import DAY, Task, plan_day
from soak.growth import Sample, find_faults, growth_of
from soak.samples import PeakWatch, of_mount, of_process, of_server, of_state
from soak.worker import SHARED, Worker

DEVICES: Final = ("laptop", "desktop")
WORKERS_A_DEVICE: Final = 2
ROUND_DEADLINE_S: Final = 600.0
_SETTINGS: Final = f"""\
reap_every_s = 5
compact_every_s = 10
journal_keep_s = {KEPT_S}
"""
_SHOWN: Final = ("own memory", "descriptors", "threads", "inodes", "state.db", "cache folder")


class House(NamedTuple):
    server: Server
    mounts: Sequence[Mount]


class Result(NamedTuple):
    faults: Sequence[str]
    samples: Sequence[Sample]
    done: Mapping[Task, int]
    written_bytes: int


def main(words: Sequence[str] | None = None) -> int:
    options = _parse(words)
    began_s = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="soak-", dir=options.dir) as folder:
            result = _run(Path(folder), options.hours_worth, options.seed, options.minutes * 60)
    except KeyboardInterrupt:
        return 130
    took_s = time.monotonic() - began_s
    if options.json is not None:
        options.json.write_text(json.dumps(_as_json(result, took_s, options), indent=1))
    for fault in result.faults:
        print(f"FAULT: {fault}", file=sys.stderr)
    print(
        f"{sum(result.done.values())} operations, {result.written_bytes / 1e9:.2f} GB written, "
        f"{took_s:.0f} s (seed {options.seed})"
    )
    print(f"{len(result.faults)} faults" if result.faults else "nothing grew, nothing was lost")
    return 1 if result.faults else 0


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python tests/soak",
        description=(soak.__doc__ or "").splitlines()[0],
        epilog=f"24 hours are {sum(DAY.values()):,} operations.",
    )
    parser.add_argument("--hours-worth", type=float, default=24.0, help="of work [24]")
    parser.add_argument("--minutes", type=float, default=inf, help="begin no round after so long")
    parser.add_argument("--seed", type=int, default=1, help="of what is done [1]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all measurements, for programs")
    parser.add_argument("--dir", type=Path, help="on a real disk [the temporary folder]")
    options = parser.parse_args(words)
    if options.hours_worth <= 0:
        parser.error("--hours-worth must be more than 0")
    return options


def _run(folder: Path, hours: float, seed: int, length_s: float) -> Result:
    until_s = time.monotonic() + length_s
    with ExitStack() as at_end:
        house = at_end.enter_context(_house(folder))
        workers = [
            Worker(mount.path, f"{mount.device.name} {number}", seed * 100 + index)
            for index, (mount, number) in enumerate(
                (mount, number) for mount in house.mounts for number in range(WORKERS_A_DEVICE)
            )
        ]
        _begin(house, workers)
        watches = _watches(house)
        for watch in watches.values():
            at_end.callback(watch.stop)
        pool = at_end.enter_context(ThreadPoolExecutor(len(workers)))
        rounds = plan_day(hours, seed, devices=len(workers))
        samples: list[Sample] = []
        for number, tasks in enumerate(rounds, 1):
            began_s = time.monotonic()
            if began_s > until_s:
                break
            list(pool.map(Worker.work, workers, tasks, timeout=ROUND_DEADLINE_S))
            worked_s = time.monotonic() - began_s
            if faults := _settle(house):
                return Result(faults, samples, {}, 0)
            samples.append(_sample(house, workers, watches))
            _tell(number, len(rounds), samples[-1], worked_s, time.monotonic() - began_s)
        check_everything_arrived(*house.mounts)
        alarms = [
            line
            for process in (house.server.process, *(mount.process for mount in house.mounts))
            for line in process.alarms()
        ]
        faults = [fault for worker in workers for fault in worker.faults]
        faults += find_faults(bounds_of(list(DEVICES)), samples) + alarms
        done = sum((worker.done for worker in workers), Counter[Task]())
        return Result(faults, samples, done, sum(worker.written_bytes for worker in workers))


def _settle(house: House) -> list[str]:
    """Let everything be sent. Returns what could not be, and all that is known of it."""
    for mount in house.mounts:
        try:
            mount.sync()
        except (AssertionError, subprocess.TimeoutExpired) as error:
            processes = (house.server.process, *(each.process for each in house.mounts))
            return [
                f"{mount.device.name} could not send everything: {error}",
                json.dumps([each.status() for each in house.mounts], indent=1),
                *(process.tail(200) for process in processes),
            ]
    return []


@contextmanager
def _house(folder: Path) -> Iterator[House]:
    with ExitStack() as at_end:
        server = Server(folder / "server")
        server.initialize()
        (server.data / "mountfs-server.toml").write_text(_SETTINGS)
        server.start()
        at_end.callback(server.kill)
        account = server.add_account("ada@example.org", "--quota", "100GiB")
        mounts = []
        for name in DEVICES:
            device = Device(folder / name)
            device.login(server.url, account)
            size = f"{CACHE_BYTES >> 20}MiB"
            mount = Mount(
                device, folder / name / "drive", options=("--cache-size", size), is_watched=False
            )
            at_end.callback(mount.clean_up)
            mount.start()
            mounts.append(mount)
        yield House(server, mounts)


def _begin(house: House, workers: Sequence[Worker]) -> None:
    first = house.mounts[0]
    (first.path / SHARED).mkdir()
    first.sync()
    for mount in house.mounts:
        seen = mount.path / SHARED
        wait_until(seen.exists, deadline_s=30, what="all devices see the shared folder")
    for worker in workers:
        worker.prepare()


def _watches(house: House) -> dict[str, PeakWatch]:
    watches = {"server": PeakWatch(partial(of_process, house.server.process.pid))}
    for mount in house.mounts:
        pid = mount.process.pid
        watches[mount.device.name] = PeakWatch(
            lambda mount=mount, pid=pid: of_process(pid) | of_state(mount)  # type: ignore[misc]
        )
    return watches


def _sample(house: House, workers: Sequence[Worker], watches: Mapping[str, PeakWatch]) -> Sample:
    written_bytes = sum(worker.written_bytes for worker in workers)
    found = {"server": of_server(house.server, written_bytes=written_bytes)}
    found |= {mount.device.name: of_mount(mount) for mount in house.mounts}
    values = {
        f"{who} {what}": value
        for who, measured in found.items()
        for what, value in {**measured, **watches[who].take()}.items()
    }
    operations = sum(worker.done.total() for worker in workers)
    return Sample(operations, values)


def _tell(number: int, count: int, sample: Sample, worked_s: float, took_s: float) -> None:
    shown = " | ".join(
        f"{who} " + " ".join(_brief(sample.values.get(f"{who} {what}")) for what in _SHOWN)
        for who in ("server", *DEVICES)
    )
    print(
        f"{number:4}/{count} {sample.operations:7} operations "
        f"{worked_s:5.1f}+{took_s - worked_s:.1f} s  {shown}",
        flush=True,
    )


def _brief(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / (1 << 20):.1f}M" if value > 1e5 else f"{value:.0f}"


def _as_json(result: Result, took_s: float, options: argparse.Namespace) -> dict[str, object]:
    names = sorted(result.samples[-1].values)
    return {
        "hours_worth": options.hours_worth,
        "seed": options.seed,
        "took_s": took_s,
        "faults": list(result.faults),
        "operations": {task.value: count for task, count in result.done.items()},
        "written_bytes": result.written_bytes,
        "growth_by_1000": {name: growth_of(name, result.samples)[0] for name in names},
        "samples": [{"operations": s.operations, **s.values} for s in result.samples],
    }
