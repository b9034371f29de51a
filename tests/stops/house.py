"""One server and two devices for each point, copied from a template: logging in costs more.

The template's server has an account and BASE on its drive; `laptop` has mounted it once, and
`fresh` has only logged in. All copies use the template's port, one after another.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.alarms import UNREACHABLE
from harness.device import Device
from harness.mount import MOUNT_DEADLINE_S, Mount
from harness.server import Server
from harness.waiting import wait_until
from stops.stopper import Stopper, build
from stops.work import make_base

_MOUNT_OPTIONS: Final = ("--xattrs",)


@dataclass(frozen=True)
class Template:
    folder: Path
    library: Path
    port: int

    @contextmanager
    def house(self, folder: Path) -> Iterator["House"]:
        """Copy everything into `folder`; nothing runs yet. All ends and goes with the context."""
        _copy(self.folder, folder)
        house = House(folder, self.library, self.port)
        try:
            yield house
        finally:
            house.clean_up()
            shutil.rmtree(folder, ignore_errors=True)


class House:
    """A server and two devices below `folder`. `laptop` is the device that works."""

    def __init__(self, folder: Path, library: Path, port: int) -> None:
        self.folder = folder
        self.library = library
        self.server = _server(folder, port)
        self.laptop = _mount(folder / "laptop")
        self.fresh = _mount(folder / "fresh")
        self._plain = {
            process.name: dict(process.env)
            for process in (self.server.process, self.laptop.process)
        }

    def always(self, mount: Mount, extra: Mapping[str, str]) -> None:
        """Start the laptop with `extra` in its environment from now on."""
        self._plain[mount.process.name] |= dict(extra)

    @property
    def server_data(self) -> Path:
        return self.server.data

    @property
    def laptop_state(self) -> Path:
        return self.laptop.device.state

    def stopper_of_client(self) -> Stopper:
        return Stopper(self.library, self.laptop_state, self.folder / "client.counters")

    def stopper_of_server(self) -> Stopper:
        return Stopper(self.library, self.server_data, self.folder / "server.counters")

    def start_server(self, extra: Mapping[str, str] | None = None) -> None:
        self.server.process.env = self._plain[self.server.process.name] | dict(extra or {})
        self.server.start()

    def start_laptop(self, extra: Mapping[str, str] | None = None) -> bool:
        """Start the laptop's mount. Returns when it answers, or False when its process ended."""
        process = self.laptop.process
        process.env = self._plain[process.name] | dict(extra or {})
        process.start()
        outside = self.folder.stat().st_dev

        def is_decided() -> bool:
            if not process.is_running:
                return True
            try:
                os.statvfs(self.laptop.path)
                return self.laptop.path.stat().st_dev != outside
            except OSError:
                return False

        wait_until(is_decided, deadline_s=MOUNT_DEADLINE_S, what="the mount answers or ends")
        return process.is_running

    def copy_to(self, folder: Path) -> None:
        """Copy everything to `folder`, in place of what is there. Nothing runs."""
        shutil.rmtree(folder, ignore_errors=True)
        _copy(self.folder, folder)

    def empty_cache(self) -> None:
        shutil.rmtree(self.laptop_state / "cache")

    def clean_up(self) -> None:
        """Leave no process and no mount. Idempotent."""
        for mount in (self.laptop, self.fresh):
            mount.process.kill()
            mount.clean_up()
        self.server.kill()


@contextmanager
def open_template(folder: Path) -> Iterator[Template]:
    """Make the template in `folder`; it is gone behind the context."""
    with ExitStack() as at_end:
        template = folder / "template"
        library = build(folder)
        server = Server(template / "server")
        at_end.callback(server.kill)
        server.initialize()
        server.start()
        account = server.add_account()
        for name in ("laptop", "fresh"):
            Device(template / name).login(server.url, account)
        laptop = _mount(template / "laptop")
        at_end.callback(laptop.clean_up)
        laptop.start()
        make_base(laptop.path)
        laptop.sync()
        done = laptop.unmount()
        assert done.code == 0, str(done)
        server.stop()
        yield Template(template, library, server.port)


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.sock"))


def _server(folder: Path, port: int) -> Server:
    return Server(folder / "server", port=port)


def _mount(folder: Path) -> Mount:
    made = Mount(Device(folder), folder / "drive", options=_MOUNT_OPTIONS, is_watched=False)
    made.process.expected += UNREACHABLE
    return made
