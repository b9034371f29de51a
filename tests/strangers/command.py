"""The command: options, a drive, each suite on both folders, the verdict.

Exit codes: 0 the mount passed what the plain folder passed, 1 it did not, 2 usage, 130 interrupted.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatch
from pathlib import Path

import strangers
from harness.device import Device
from harness.mount import Mount
from harness.server import Server
from strangers.cannot_be_had import EXCUSES
from strangers.cpython import CPythonTests
from strangers.databases import PostgreSql
from strangers.loads import Fio, Loads
from strangers.stress import StressNg
from strangers.suites import Suite
from strangers.syscalls import LibfuseSyscalls
from strangers.verdict import Verdict, judge


def main(words: Sequence[str] | None = None) -> int:
    options = _parse(words)
    suites = [suite for suite in _suites(options.sources) if fnmatch(suite.name, options.only)]
    if options.list:
        for suite in suites:
            print(f"{suite.name:12} {suite.about}{_needs(suite)}")
        return 0
    try:
        with tempfile.TemporaryDirectory(prefix="strangers-", dir=options.dir) as folder:
            # Suites that run as another user come through here.
            Path(folder).chmod(0o755)
            faults = _run(Path(folder), suites, quick=options.quick)
    except KeyboardInterrupt:
        return 130
    print(f"{faults} faults" if faults else "the mount passes what the plain folder passes")
    return 1 if faults else 0


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    about = (strangers.__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python tests/strangers", description=about)
    parser.add_argument("--only", default="*", help="suites of this name or pattern [all]")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("--quick", action="store_true", help="a part of each")
    parser.add_argument("--dir", type=Path, help="on a real disk [the temporary folder]")
    parser.add_argument(
        "--sources", type=Path, default=Path(), help="where source packages are unpacked [here]"
    )
    return parser.parse_args(words)


def _needs(suite: Suite) -> str:
    how = suite.missing()
    return f"\n{'':12} not here: {how}" if how else ""


def _run(folder: Path, suites: Sequence[Suite], *, quick: bool) -> int:
    """Returns the number of faults."""
    faults = 0
    with drive_in(folder) as mount:
        for suite in suites:
            if how := suite.missing():
                print(f"{suite.name:12} skipped: {how}", flush=True)
                continue
            began_s = time.monotonic()
            plain, mounted = folder / "plain" / suite.name, mount.path / suite.name
            for place in (plain, mounted):
                place.mkdir(parents=True)
                place.chmod(0o777)
            found = judge(
                suite.name,
                suite.run(plain, quick=quick),
                suite.run(mounted, quick=quick),
                EXCUSES,
            )
            _tell(suite, found, time.monotonic() - began_s)
            faults += len(found.faults)
        mount.sync()
        for alarm in mount.process.alarms():
            print(f"  ALARM {alarm}")
            faults += 1
    return faults


def _tell(suite: Suite, found: Verdict, took_s: float) -> None:
    print(
        f"{suite.name:12} {found.passed} passed, {len(found.faults)} faults, "
        f"{len(found.excused)} cannot be had, {len(found.failed_on_both)} fail on the plain folder "
        f"too ({took_s:.0f} s)"
    )
    for name, said in found.faults.items():
        print(f"  FAULT {name}\n" + "\n".join(f"    {line}" for line in said.splitlines()))
    sys.stdout.flush()


@contextmanager
def drive_in(folder: Path) -> Iterator[Mount]:
    """Mount a new drive at `folder`/mount with all that POSIX has: owners and attributes.

    Paths are as short as those of `folder`/plain: a socket's has at most 108 bytes.
    """
    with ExitStack() as at_end:
        server = Server(folder / "server")
        server.initialize()
        server.start()
        at_end.callback(server.kill)
        device = Device(folder / "device")
        device.login(server.url, server.add_account("ada@example.org", "--quota", "1TiB"))
        mount = Mount(
            device,
            folder / "mount",
            options=("--allow-other", "--xattrs"),
            is_watched=False,
        )
        at_end.callback(mount.clean_up)
        mount.start()
        yield mount


def _suites(sources: Path) -> list[Suite]:
    return [
        CPythonTests(),
        LibfuseSyscalls(sources),
        StressNg(),
        Fio(),
        Loads(),
        PostgreSql(),
    ]
