"""`./bootstrap demo`: set everything up, show what happens, and end in order."""

import os
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live

from mountfs.demo.figures import parse_metrics
from mountfs.demo.household import EMAIL, Household
from mountfs.demo.live_view import draw
from mountfs.demo.mounted_drive import MountedDrive
from mountfs.demo.plain_view import PlainView
from mountfs.demo.server import DemoServer
from mountfs.errors import MountError

LOOK_EVERY_S: Final = 0.5


class Interrupts:
    """Ctrl-C and SIGTERM, counted: the first ends the demo in order, the second at once."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self.count = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, *_: object) -> None:
        self.count += 1
        self._asked.set()

    def wait(self, timeout_s: float) -> bool:
        """Return whether the demo shall end; waits up to `timeout_s` for it."""
        return self._asked.wait(timeout_s)


def main() -> int:
    """Run the demo in the current folder. Returns the exit code."""
    console = Console(highlight=False)
    household = Household(Path.cwd())
    interrupts = Interrupts()
    try:
        with household.locked():
            return _run(household, console, interrupts)
    except MountError as error:
        console.print(f"demo: {error}", markup=False, style="red", soft_wrap=True)
        if remedy := getattr(error, "remedy", ""):
            console.print(f"demo: {remedy}", markup=False, soft_wrap=True)
        return 1


def _run(household: Household, console: Console, interrupts: Interrupts) -> int:
    def say(text: str) -> None:
        console.print(f"[green]·[/] {text}", soft_wrap=True)

    with ExitStack() as at_end:
        server = DemoServer(household)
        if server.ensure_exists():
            say(f"made a server in .demo/server, and the account {EMAIL}")
        server.start()
        at_end.callback(_stop_server, server, console)
        say(f"the server answers at {server.url}")
        drive = MountedDrive(household, server.url)
        if drive.ensure_logged_in():
            say("logged this device in; its state is in .demo/device")
        drive.mount()
        at_end.callback(_unmount, drive, console, interrupts)
        say(f"the drive is mounted at [bold]{household.drive}[/]")
        if interrupts.wait(0):
            return 0
        if console.is_terminal:
            _show_live(console, server, drive, interrupts)
        else:
            _show_plainly(console, server, drive, interrupts)
    say("stopped; everything is kept in .demo for the next time")
    return 0


def second_device_hints(server_url: str) -> list[str]:
    """Return how to mount the drive a second time, as commands to paste. Pure."""
    return [
        "work in ./drive from another terminal; as a second device, mount it again at ./drive2:",
        f"  .venv/bin/mountfs login {server_url} --email {EMAIL} \\",
        "    --device second --state .demo/second --password-stdin < .demo/password",
        "  mkdir -p drive2 && .venv/bin/mountfs mount drive2 --state .demo/second",
        "Ctrl-C syncs, unmounts and stops",
    ]


def _show_live(
    console: Console, server: DemoServer, drive: MountedDrive, interrupts: Interrupts
) -> None:
    hints = second_device_hints(server.url)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            status = drive.status()
            view = draw(status, parse_metrics(server.metrics()), url=server.url, hints=hints)
            live.update(view, refresh=True)
            server.check()
            if status is None or interrupts.wait(LOOK_EVERY_S):
                return


def _show_plainly(
    console: Console, server: DemoServer, drive: MountedDrive, interrupts: Interrupts
) -> None:
    def show(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)
        sys.stdout.flush()

    for line in second_device_hints(server.url):
        show(line)
    view = PlainView()
    while True:
        status = drive.status()
        for line in view.lines(status):
            show(line)
        server.check()
        if status is None or interrupts.wait(LOOK_EVERY_S):
            return


def _unmount(drive: MountedDrive, console: Console, interrupts: Interrupts) -> None:
    console.print("[green]·[/] syncing and unmounting (once more Ctrl-C: at once)")
    said: list[str] = []
    failed: list[BaseException] = []

    def unmount_waiting() -> None:
        try:
            said.extend(drive.unmount(waits=True))
        except MountError as error:
            failed.append(error)

    # On a thread of its own, so that a second Ctrl-C can overtake it.
    seen = interrupts.count
    waiting = threading.Thread(target=unmount_waiting, daemon=True)
    waiting.start()
    while waiting.is_alive() and interrupts.count == seen:
        waiting.join(LOOK_EVERY_S)
    if waiting.is_alive() or failed:
        said.extend(drive.unmount(waits=False))
    for line in said:
        console.print(f"  {line}", markup=False, style="yellow")


def _stop_server(server: DemoServer, console: Console) -> None:
    server.stop()
    console.print("[green]·[/] the server has stopped")


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # A thread that still waits for a mount must not keep the demo alive.
    os._exit(code)
