"""Fixtures for every test: Hypothesis profiles, and real servers, devices and mounts.

What a fixture started is stopped by its own process id after the test, also after a failure. An
alarming line (WARNING or worse) in the log of a server or a mount fails the test that provoked
it, unless the test announced it in `process.expected`.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from harness.device import Device
from harness.fixtures import NewDevice, NewMount, NewRelay, NewServer, Watched
from harness.mount import Mount, can_mount
from harness.relay import Relay
from harness.server import Account, Server
from harness.shared_drive import SharedDrive, open_shared_drive

settings.register_profile("dev", max_examples=60, deadline=None)
settings.register_profile(
    "ci",
    max_examples=100,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("deep", max_examples=5_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a mount where there can be none, and say so."""
    if can_mount():
        return
    skip = pytest.mark.skip(reason="no /dev/fuse that we may open: nothing can be mounted")
    for item in items:
        if item.get_closest_marker("fuse"):
            item.add_marker(skip)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """Logs to be read after everything that writes to them has ended."""
    logs = Watched()
    yield logs
    logs.check()


@pytest.fixture
def new_server(tmp_path: Path, watched: Watched) -> Iterator[NewServer]:
    """Make servers that run; each on a folder of its own."""
    with ExitStack() as at_end:

        def make(*, data: Path | None = None, options: tuple[str, ...] = ()) -> Server:
            made = Server(tmp_path / f"server-{_count(tmp_path)}", data=data, options=options)
            watched.add(made.process)
            at_end.callback(made.stop)
            made.initialize()
            made.start()
            return made

        yield make


def _count(folder: Path) -> int:
    return len(list(folder.iterdir()))


@pytest.fixture
def server(new_server: NewServer) -> Server:
    """A running server without accounts."""
    return new_server()


@pytest.fixture
def account(server: Server) -> Account:
    return server.add_account()


@pytest.fixture
def device(tmp_path: Path, request: pytest.FixtureRequest) -> NewDevice:
    """Make devices that are logged in: at `server` with `account` unless told otherwise."""

    def make(
        name: str = "laptop",
        *,
        url: str | None = None,
        account: Account | None = None,
        state: Path | None = None,
    ) -> Device:
        made = Device(tmp_path / name, state=state)
        made.login(
            url or request.getfixturevalue("server").url,
            account or request.getfixturevalue("account"),
        )
        return made

    return make


@pytest.fixture
def mounted(watched: Watched, device: NewDevice, new_server: NewServer) -> Iterator[NewMount]:
    """Make mounts that answer. They are unmounted and their daemons ended whatever happens."""
    with ExitStack() as at_end:

        def make(device: Device, *options: str) -> Mount:
            made = Mount(device, device.folder / "drive", options=options)
            watched.add(made.process)
            at_end.callback(made.clean_up)
            made.start()
            return made

        yield make


@pytest.fixture
def two_mounts(device: NewDevice, mounted: NewMount) -> tuple[Mount, Mount]:
    """One drive, mounted by two devices."""
    return mounted(device("laptop")), mounted(device("desktop"))


@pytest.fixture
def new_relay(tmp_path: Path, server: Server) -> Iterator[NewRelay]:
    """Make links to `server` that can be slow, be cut and count."""
    with ExitStack() as at_end:

        def make(*, rtt_ms: float = 0, mbit: float = 0) -> Relay:
            made = Relay(tmp_path, server.port, rtt_ms=rtt_ms, mbit=mbit)
            at_end.callback(made.stop)
            return made

        yield make


@pytest.fixture
def relay(new_relay: NewRelay) -> Relay:
    return new_relay()


# One drive for many tests --------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared_drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedDrive]:
    """One server and two mounts for the whole module. For tests that kill nothing."""
    with open_shared_drive(tmp_path_factory.mktemp("drive")) as opened:
        yield opened


@pytest.fixture
def drive(shared_drive: SharedDrive) -> Iterator[SharedDrive]:
    """The module's drive; after the test everything must have arrived, and no log may alarm."""
    with shared_drive.used_by_one_test():
        yield shared_drive


@pytest.fixture
def folder(drive: SharedDrive, request: pytest.FixtureRequest) -> Path:
    """A folder of this test alone in the shared drive, on the first mount."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    made = drive.here.path / name
    made.mkdir()
    return made
