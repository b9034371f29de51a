"""The types of the fixtures in `conftest.py`, for the annotations of tests."""

from pathlib import Path
from typing import Protocol

from harness.device import Device
from harness.mount import Mount
from harness.processes import LoggedProcess
from harness.relay import Relay
from harness.server import Account, Server


class NewServer(Protocol):
    def __call__(self, *, data: Path | None = None, options: tuple[str, ...] = ()) -> Server: ...


class NewDevice(Protocol):
    def __call__(
        self,
        name: str = "laptop",
        *,
        url: str | None = None,
        account: Account | None = None,
        state: Path | None = None,
    ) -> Device: ...


class NewMount(Protocol):
    def __call__(self, device: Device, *options: str) -> Mount: ...


class NewRelay(Protocol):
    def __call__(self, *, rtt_ms: float = 0, mbit: float = 0) -> Relay: ...


class Watched:
    """The processes of one test, whose logs are read when it is over."""

    def __init__(self) -> None:
        self._processes: list[LoggedProcess] = []

    def add(self, process: LoggedProcess) -> None:
        self._processes.append(process)

    def check(self) -> None:
        for process in self._processes:
            alarms = process.alarms()
            assert not alarms, f"alarms in the log of {process.name}:\n" + "\n".join(alarms)
