"""Builds `stopper.c`, tells it what to do, and reads what it counted."""

import shutil
import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("stopper.c")
BUILD_TIMEOUT_S: Final = 60.0
_COUNTERS: Final = struct.Struct("<6QQ456s")


class Party(StrEnum):
    """Who is stopped, or loses power."""

    CLIENT = "client"
    SERVER = "server"


class Kind(IntEnum):
    """Kinds of calls, numbered as in stopper.c."""

    WRITE = 0
    SYNC = 1
    NAME = 2
    SIZE = 3
    SEND = 4
    REPLY = 5


class How(IntEnum):
    """Where in the call the process stops. Only bytes of files and sockets have a half."""

    BEFORE = ord("b")
    HALF = ord("h")
    AFTER = ord("a")


@dataclass(frozen=True)
class Stop:
    """SIGKILL at the `number`th call of `kind`, counted from 1."""

    kind: Kind
    number: int
    how: How = How.BEFORE


@dataclass(frozen=True)
class Counted:
    """`where`: the call that the process stopped at; empty if it did not."""

    calls: Mapping[Kind, int]
    where: str


def can_build() -> bool:
    return shutil.which("cc") is not None


def build(folder: Path) -> Path:
    """Return the library, compiled into `folder`."""
    made = folder / "stopper.so"
    subprocess.run(
        ["cc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", made, SOURCE],
        check=True,
        timeout=BUILD_TIMEOUT_S,
    )
    return made


@dataclass(frozen=True)
class Stopper:
    """What one process carries. `watched`: the folder whose files it is about."""

    library: Path
    watched: Path
    counters: Path

    def environment(
        self, *, stop: Stop | None = None, recording: Path | None = None, party: int = 0
    ) -> dict[str, str]:
        """Return what the process's environment needs, with all counters at 0."""
        self.counters.write_bytes(bytes(_COUNTERS.size))
        found = {
            "LD_PRELOAD": str(self.library),
            "STOPS_FOLDER": str(self.watched.resolve()),
            "STOPS_COUNTERS": str(self.counters),
            "STOPS_PARTY": str(party),
        }
        if stop is not None:
            found |= {
                "STOPS_KIND": str(int(stop.kind)),
                "STOPS_AT": str(stop.number),
                "STOPS_HOW": chr(stop.how),
            }
        if recording is not None:
            recording.touch()
            found["STOPS_RECORD"] = str(recording)
        return found

    def counted(self) -> Counted:
        *calls, is_stopped, where = _COUNTERS.unpack(self.counters.read_bytes())
        text = where.rstrip(b"\0").decode(errors="backslashreplace")
        return Counted(dict(zip(Kind, calls, strict=True)), text if is_stopped else "")


def other_boot(library: Path, boot_id: Path) -> dict[str, str]:
    """Return the environment of a process that sees `boot_id`'s content as the kernel's boot id."""
    return {"LD_PRELOAD": str(library), "STOPS_BOOT_ID": str(boot_id)}
