"""What small changes of large files cost on the wire: all bytes of both links, HTTP included.

Two devices; both have the file cached. One changes it, the other reads it afterwards and must see
the new content. The files are put there at full speed; only what is counted goes through the slow
link. A chmod, which has no content, shows what every change costs; what a save of known content
sends in bodies is the least that says so: ids and attributes.
"""

import os
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import figures
from benchmarks.figures import Figure
from benchmarks.seat import Link, Seat
from benchmarks.sites import DriveSite, Site
from benchmarks.sizes import EDIT_BYTES, KIB, Sizes
from harness.waiting import wait_until

FAST: Final = Link()
SEED: Final = 11
VISIBLE_DEADLINE_S: Final = 60.0
QUIET_DEADLINE_S: Final = 20.0


def measure_wire_bytes(site: Site, sizes: Sizes) -> Mapping[Figure, float]:
    assert isinstance(site, DriveSite)
    with site.new_seat(FAST) as here, site.new_seat(FAST) as there:
        return _Counting(site, here, there).run(sizes)


class _Cost(NamedTuple):
    """In bytes: `up` from the device that changed the file and `down` to the other one, with
    HTTP's own words; `bodies` of all requests that the server got meanwhile, without them."""

    up: int
    bodies: int
    down: int


class _Counting:
    def __init__(self, site: DriveSite, here: Seat, there: Seat) -> None:
        self._site = site
        self._here, self._there = here, there
        self._link = site.link or FAST
        self._chance = random.Random(SEED)
        self._top = here.path / "wire"
        self._top.mkdir()

    def run(self, sizes: Sizes) -> Mapping[Figure, float]:
        content = os.urandom(sizes.overwritten_bytes)
        path = self._put("large.bin", content)
        middle = len(content) // 2 + 12_345
        edit = self._edit()
        content = content[:middle] + edit + content[middle + len(edit) :]
        overwrite = self._count(path, content, lambda: _overwrite(path, middle, edit))

        content = os.urandom(sizes.rewritten_bytes)
        path = self._put("document.bin", content)
        floor = self._count(path, content, lambda: path.chmod(0o600))
        # Before the edits: those keep old boundaries, which a save of the whole file cuts anew.
        resave = self._count(path, content, lambda: _save(path, content))
        copied = path.with_name("copy.bin")
        copy = self._count(copied, content, lambda: _copy(path, copied))
        start = 10 * KIB
        content = content[:start] + self._edit() + content[start:]
        insert = self._count(path, content, lambda: _save_by_rename(path, content))
        edit = self._edit()
        content += edit
        append = self._count(path, content, lambda: _append(path, edit))
        return {
            figures.FLOOR_UP: floor.up,
            figures.FLOOR_BODIES: floor.bodies,
            figures.FLOOR_DOWN: floor.down,
            figures.OVERWRITE_UP: overwrite.up,
            figures.OVERWRITE_DOWN: overwrite.down,
            figures.INSERT_UP: insert.up,
            figures.INSERT_DOWN: insert.down,
            figures.APPEND_UP: append.up,
            figures.APPEND_DOWN: append.down,
            figures.RESAVE_UP: resave.up,
            figures.RESAVE_BODIES: resave.bodies,
            figures.RESAVE_DOWN: resave.down,
            figures.COPY_UP: copy.up,
            figures.COPY_BODIES: copy.bodies,
            figures.COPY_DOWN: copy.down,
        }

    def _edit(self) -> bytes:
        return self._chance.randbytes(EDIT_BYTES)

    def _put(self, name: str, content: bytes) -> Path:
        """Return where both devices have `content`, also in their caches."""
        self._set_link(FAST)
        path = self._top / name
        path.write_bytes(content)
        self._here.sync()
        self._wait_for(path, content)
        self._set_link(self._link)
        return path

    def _set_link(self, link: Link) -> None:
        for seat in (self._here, self._there):
            seat.change_link(link)

    def _count(self, path: Path, content: bytes, change: Callable[[], None]) -> _Cost:
        """Return what `change` cost, which makes `path` hold `content`."""
        self._wait_until_quiet()
        for seat in (self._here, self._there):
            seat.reset_counters()
        bodies_before = self._site.body_bytes_received()
        change()
        self._here.sync()
        self._wait_for(path, content)
        self._wait_until_quiet()
        return _Cost(
            up=self._here.bytes_up_and_down()[0],
            bodies=self._site.body_bytes_received() - bodies_before,
            down=self._there.bytes_up_and_down()[1],
        )

    def _wait_for(self, path: Path, content: bytes) -> None:
        """Wait until the other device sees the same file, and read it there."""
        self._there.stay()
        seen = self._there.path / path.relative_to(self._here.path)
        wanted = _attributes(path)

        def is_seen() -> bool:
            return seen.exists() and _attributes(seen) == wanted

        wait_until(is_seen, deadline_s=VISIBLE_DEADLINE_S, what=f"{seen} is as it was saved")
        assert seen.read_bytes() == content, f"{seen} was read wrongly"

    def _wait_until_quiet(self) -> None:
        """Return when nothing crossed either link between two looks, some 0.1 s apart."""
        last: list[tuple[int, int]] = []
        same_count = 0

        def is_quiet() -> bool:
            nonlocal last, same_count
            now = [seat.bytes_up_and_down() for seat in (self._here, self._there)]
            same_count = same_count + 1 if now == last else 0
            last = now
            # The pauses of `wait_until` have grown to their longest by then.
            return same_count >= 12

        wait_until(is_quiet, deadline_s=QUIET_DEADLINE_S, what="the links are quiet")


def _attributes(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_mode


def _overwrite(path: Path, offset: int, edit: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(edit)


def _save_by_rename(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def _append(path: Path, edit: bytes) -> None:
    with path.open("ab") as file:
        file.write(edit)


def _save(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _copy(path: Path, copied: Path) -> None:
    shutil.copyfile(path, copied)
