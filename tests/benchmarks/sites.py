"""Where workloads run: on a plain folder, or on a drive over some link.

A site gives a workload the same few verbs everywhere, so that the same code measures all columns.
"""

import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Final, Protocol

from benchmarks.figures import Column
from benchmarks.page_cache import drop_pages
from benchmarks.seat import Link, Seat, take_seat
from harness.server import Server

QUOTA: Final = "200GiB"


class Elsewhere(Protocol):
    """Another device of the same person, with nothing in its caches."""

    def seen(self, path: Path) -> Path:
        """Return where `path` of the first device is here."""

    def forget(self, paths: Sequence[Path]) -> None:
        """Lose what memory holds of these files (as seen here), and keep what disks hold."""


class Site(Protocol):
    @property
    def column(self) -> Column:
        """Return which column is measured here."""

    def new_folder(self) -> Path:
        """Return a new empty folder to work in."""

    def clear(self) -> None:
        """Remove all that workloads made, and wait until that is done."""

    def sync(self) -> None:
        """Return when everything written is durable: on the disk here, or on the server."""

    def elsewhere(self, contents: Sequence[Path] = ()) -> AbstractContextManager[Elsewhere]:
        """Sit down at another device. On a plain folder only `contents` become cold."""

    def stay(self) -> None:
        """Begin the time anew that one workload may take."""


class PlainSite:
    """An ordinary folder. "Elsewhere" is the same folder without its pages in memory; what the
    kernel knows of names and attributes stays, since only root could make it forget."""

    column: Final = Column.PLAIN

    def __init__(self, top: Path) -> None:
        self._top = top
        self._numbers = count(1)
        top.mkdir(parents=True)

    def new_folder(self) -> Path:
        return _make(self._top / f"work-{next(self._numbers)}")

    def clear(self) -> None:
        _empty(self._top)
        self.sync()

    def sync(self) -> None:
        subprocess.run(["sync", "-f", self._top], check=True)

    @contextmanager
    def elsewhere(self, contents: Sequence[Path] = ()) -> Iterator["PlainSite"]:
        self.forget(contents)
        yield self

    def seen(self, path: Path) -> Path:
        return path

    def forget(self, paths: Iterable[Path]) -> None:
        drop_pages(paths)

    def stay(self) -> None:
        pass


class _SecondSeat:
    def __init__(self, seat: Seat, first: Seat) -> None:
        self._seat, self._first = seat, first

    def seen(self, path: Path) -> Path:
        return self._seat.path / path.relative_to(self._first.path)

    def forget(self, paths: Sequence[Path]) -> None:
        self._seat.forget(paths)


class DriveSite:
    """A server, and a seat of a person who works there. Do not make one: see `open_drive`."""

    def __init__(
        self, column: Column, top: Path, server: Server, link: Link | None, alarms: list[str]
    ) -> None:
        self.column = column
        self.link = link
        self._top = top
        self._server = server
        self._account = server.add_account("ada@example.org", "--quota", QUOTA)
        self._alarms = alarms
        self._numbers = count(1)
        self._seat: Seat | None = None

    @property
    def seat(self) -> Seat:
        assert self._seat, "nobody sits here"
        return self._seat

    def body_bytes_received(self) -> int:
        """Return the bytes of all request bodies that the server logged since it started: what
        its devices sent, less HTTP's own words."""
        total = 0
        for line in self._server.process.text().splitlines():
            if line.startswith("{"):
                total += json.loads(line).get("bytes_in", 0)
        return total

    def sit_down(self, seat: Seat) -> None:
        self._seat = seat

    def new_seat(self, link: Link | None) -> AbstractContextManager[Seat]:
        """Sit down at a new device, with a link of its own (or none)."""
        folder = self._top / f"device-{next(self._numbers)}"
        return take_seat(folder, self._server, self._account, link, self._alarms)

    def new_folder(self) -> Path:
        return _make(self.seat.path / f"work-{next(self._numbers)}")

    def clear(self) -> None:
        _empty(self.seat.path)
        self.sync()

    def sync(self) -> None:
        self.seat.sync()

    @contextmanager
    def elsewhere(self, contents: Sequence[Path] = ()) -> Iterator[Elsewhere]:
        with self.new_seat(self.link) as seat:
            yield _SecondSeat(seat, self.seat)

    def stay(self) -> None:
        self.seat.stay()


@contextmanager
def open_drive(
    column: Column, top: Path, link: Link | None, alarms: list[str]
) -> Iterator[DriveSite]:
    """Start a server below `top` and sit down at a mount; stop and unmount all of it again."""
    with ExitStack() as leaving:
        server = Server(top / "server")
        leaving.callback(lambda: alarms.extend(server.process.alarms()))
        leaving.callback(server.process.kill)
        server.initialize()
        server.start()
        site = DriveSite(column, top, server, link, alarms)
        site.sit_down(leaving.enter_context(site.new_seat(link)))
        yield site
        server.stop()


def _make(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
