"""One drive on two mounts, for all tests of a module: starting them costs more than most tests."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.device import Device
from harness.mount import Mount, check_everything_arrived
from harness.relay import Relay
from harness.server import Server


@dataclass(frozen=True)
class SharedDrive:
    """Two mounts of one drive. `relay` is the link of `here`, which can be cut."""

    here: Mount
    there: Mount
    server: Server
    relay: Relay

    @contextmanager
    def used_by_one_test(self) -> Iterator[None]:
        """Hold the drive for one test: the link is whole, and no log may alarm afterwards."""
        mounts = (self.here, self.there)
        processes = (*(mount.process for mount in mounts), self.server.process)
        self.relay.heal()
        for mount in mounts:
            mount.watch_for_hanging()
            mount.process.expected.clear()
        # What a test before this one provoked is not ours to answer for.
        before = {process.name: len(process.text()) for process in processes}
        yield
        self.relay.heal()
        check_everything_arrived(*mounts)
        for process in processes:
            alarms = process.alarms(since=before[process.name])
            assert not alarms, f"alarms in the log of {process.name}:\n" + "\n".join(alarms)


@contextmanager
def open_shared_drive(top: Path) -> Iterator[SharedDrive]:
    """Start a server and two mounts below `top`, and end them afterwards."""
    with ExitStack() as at_end:
        server = Server(top / "server")
        at_end.callback(server.stop)
        server.initialize()
        server.start()
        account = server.add_account()
        relay = Relay(top, server.port)
        at_end.callback(relay.stop)
        mounts = []
        for name, url in (("laptop", relay.url), ("desktop", server.url)):
            device = Device(top / name)
            device.login(url, account)
            mount = Mount(device, device.folder / "drive")
            at_end.callback(mount.clean_up)
            mount.start()
            mounts.append(mount)
        yield SharedDrive(mounts[0], mounts[1], server, relay)
