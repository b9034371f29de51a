"""A person's seat: one device with its mounted drive, at the end of a link of its own."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.page_cache import drop_pages
from harness.device import Device
from harness.mount import Mount, mounted_at
from harness.relay import Relay
from harness.server import Account, Server
from mountfs.app.control_client import ask_sync, find_running


@dataclass(frozen=True)
class Link:
    """Round trip and bandwidth each way; zeros are as fast as the machine goes."""

    rtt_ms: float = 0.0
    mbit: float = 0.0


WAN_LINK: Final = Link(rtt_ms=50, mbit=100)


class Seat:
    """Do not make one: `take_seat` also leaves it again."""

    def __init__(self, mount: Mount, relay: Relay | None) -> None:
        self._mount = mount
        self._relay = relay

    @property
    def path(self) -> Path:
        return self._mount.path

    @property
    def pid(self) -> int:
        """The daemon's; another after `forget`."""
        return self._mount.process.pid

    def sync(self) -> None:
        """Return when the server has everything: `mountfs sync`, less the start of a command."""
        self._mount.watch_for_hanging()
        done = ask_sync(find_running(self.path), lambda _: None)
        assert not done.parked, f"refused: {done.parked}"

    def forget(self, paths: Iterable[Path] = ()) -> None:
        """Mount anew: only the disk cache still knows the content of `paths`."""
        done = self._mount.unmount()
        assert done.code == 0, f"umount: {done}"
        self._mount.start()
        drop_pages(paths)

    def stay(self) -> None:
        """Say that all is well: a mount in use for too long at a time is taken to hang."""
        self._mount.watch_for_hanging()

    def change_link(self, link: Link) -> None:
        assert self._relay, "this seat has no link that could change"
        self._relay.change(rtt_ms=link.rtt_ms, mbit=link.mbit)

    def reset_counters(self) -> None:
        assert self._relay, "nobody counts on this seat's link"
        self._relay.reset_counters()

    def bytes_up_and_down(self) -> tuple[int, int]:
        """Return everything that crossed the link since `reset_counters`, HTTP included."""
        assert self._relay, "nobody counts on this seat's link"
        return self._relay.bytes_up_and_down()


@contextmanager
def take_seat(
    folder: Path, server: Server, account: Account, link: Link | None, alarms: list[str]
) -> Iterator[Seat]:
    """Log a new device in and mount, both in `folder`; leave nothing of them behind.

    Without a link the device talks to the server directly. What its daemon logged as a warning
    or worse is added to `alarms`.
    """
    with ExitStack() as leaving:
        device = Device(folder)
        leaving.callback(_remove, folder)
        relay = None
        if link is not None:
            relay = Relay(folder, server.port, rtt_ms=link.rtt_ms, mbit=link.mbit)
            leaving.callback(relay.stop)
        device.login(relay.url if relay else server.url, account)
        mount = Mount(device, folder / "drive")
        leaving.callback(lambda: alarms.extend(mount.process.alarms()))
        leaving.callback(mount.clean_up)
        mount.start()
        # Whatever happened: nothing that is left here is worth waiting for.
        leaving.callback(mount.unmount, "--now")
        yield Seat(mount, relay)


def _remove(folder: Path) -> None:
    # Removing through a mount that is still there would remove the drive's files.
    if not mounted_at(folder / "drive"):
        shutil.rmtree(folder, ignore_errors=True)
