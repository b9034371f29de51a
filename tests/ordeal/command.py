"""The command: options, the run, the verdict, clean-up whatever happens.

Exit codes: 0 nothing was lost, 1 something was, 2 usage, 130 interrupted.
"""

import argparse
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import ordeal
from harness.alarms import UNREACHABLE
from harness.device import Device
from harness.mount import Mount, check_everything_arrived
from harness.relay import Relay
from harness.server import Server
from harness.waiting import wait_until
from ordeal.plan import Blow, plan_ordeal
from ordeal.writer import SHARED, Writer

SLOWEST_CALL_S: Final = 15.0
"""A read of what is not here fails within 10 s; everything else is local."""
LINK: Final = {"rtt_ms": 50.0, "mbit": 50.0}
_TOKEN: Final = re.compile(rb"<(?:laptop|desktop)\d+>")


def main(words: Sequence[str] | None = None) -> int:
    options = _parse(words)
    try:
        with tempfile.TemporaryDirectory(prefix="ordeal-", dir=options.dir) as folder:
            faults = _run(Path(folder), options.minutes * 60, options.seed)
    except KeyboardInterrupt:
        return 130
    for fault in faults:
        print(f"FAULT: {fault}", file=sys.stderr)
    print(f"{len(faults)} faults (seed {options.seed})" if faults else "nothing was lost")
    return 1 if faults else 0


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    about = (ordeal.__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python tests/ordeal", description=about)
    parser.add_argument("--minutes", type=float, default=5.0, help="of work and blows [5]")
    parser.add_argument("--seed", type=int, default=1, help="of what is done and when [1]")
    parser.add_argument("--dir", type=Path, help="on a real disk [the temporary folder]")
    options = parser.parse_args(words)
    if options.minutes <= 0:
        parser.error("--minutes must be more than 0")
    return options


def _run(folder: Path, length_s: float, seed: int) -> list[str]:
    """Returns what went wrong; empty: nothing."""
    with _house(folder) as (server, relay, laptop, desktop):
        for name in ("laptop", "desktop", SHARED):
            (desktop.path / name).mkdir()
        desktop.sync()
        seen = laptop.path / SHARED
        wait_until(seen.exists, deadline_s=30, what="both devices see the folders")
        writers = [Writer(laptop.path, "laptop", seed), Writer(desktop.path, "desktop", seed + 1)]
        began_s = time.monotonic()

        def tell(what: str) -> None:
            told = sum(len(writer.tokens) for writer in writers)
            print(f"{time.monotonic() - began_s:6.1f} s  {told:6} writes  {what}", flush=True)

        for writer in writers:
            writer.start()
        try:
            for event in plan_ordeal(random.Random(seed), length_s):
                time.sleep(max(0.0, began_s + event.at_s - time.monotonic()))
                tell(event.blow.value)
                _strike(event.blow, server, relay, laptop)
            time.sleep(max(0.0, began_s + length_s - time.monotonic()))
        finally:
            for writer in writers:
                writer.stop()
        tell("everything settles")
        check_everything_arrived(laptop, desktop)
        tell("both devices show the same")
        alarms = [line for mount in (laptop, desktop) for line in mount.process.alarms()]
        return [*_faults_of(writers, desktop.path), *alarms]


@contextmanager
def _house(folder: Path) -> Iterator[tuple[Server, Relay, Mount, Mount]]:
    with ExitStack() as at_end:
        server = Server(folder / "server")
        server.initialize()
        server.start()
        at_end.callback(server.kill)
        account = server.add_account()
        relay = Relay(folder, server.port, **LINK)
        at_end.callback(relay.stop)
        mounts = []
        for name, url in (("laptop", relay.url), ("desktop", server.url)):
            device = Device(folder / name)
            device.login(url, account)
            mount = Mount(device, folder / name / "drive", is_watched=False)
            mount.process.expected += UNREACHABLE
            at_end.callback(mount.clean_up)
            mount.start()
            mounts.append(mount)
        yield server, relay, mounts[0], mounts[1]


def _strike(blow: Blow, server: Server, relay: Relay, mount: Mount) -> None:
    match blow:
        case Blow.CUT:
            relay.cut()
        case Blow.HEAL:
            relay.heal()
        case Blow.KILL_MOUNT:
            mount.kill()
            mount.restart()
        case Blow.KILL_SERVER:
            server.kill()
            server.start()


def _faults_of(writers: Sequence[Writer], root: Path) -> list[str]:
    found: set[bytes] = set()
    for path in root.rglob("*"):
        if path.is_file():
            found.update(_TOKEN.findall(path.read_bytes()))
    faults = []
    for writer in writers:
        lost = [token.decode() for token in writer.tokens if token not in found]
        if lost:
            faults.append(f"{len(lost)} writes of {writer.name} are gone: {', '.join(lost[:20])}")
        if writer.slowest_s > SLOWEST_CALL_S:
            faults.append(f"a call of {writer.name} took {writer.slowest_s:.1f} s")
        print(
            f"{writer.name}: {len(writer.tokens)} writes, slowest {writer.slowest_s:.2f} s, "
            f"refused: {dict(writer.refusals) or 'none'}"
        )
    copies = [path.name for path in (root / SHARED).iterdir() if "conflict" in path.name]
    print(f"{len(copies)} conflict copies hold what both wrote at once")
    return faults
