"""Which programs use a mount: what to tell a person whose unmount is refused.

Reads links below /proc only, so it asks the mount nothing and cannot hang on it. It sees the
programs of this user, and of everybody for root.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class MountUser(NamedTuple):
    """A program and one path of the mount that it holds (open, mapped, or as its folder)."""

    pid: int
    command: str
    path: str


def programs_using(mount_point: Path, *, count_max: int = 20) -> list[MountUser]:
    """Return up to `count_max` programs that hold something of `mount_point`. Blocks shortly."""
    found: list[MountUser] = []
    top = os.fsencode(mount_point)
    for process in _PROC.iterdir():
        if len(found) == count_max:
            break
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        for held in _held_paths(process):
            if held == top or held.startswith(top + b"/"):
                command = _command(process)
                found.append(MountUser(int(process.name), command, os.fsdecode(held)))
                break
    return found


def _held_paths(process: Path) -> Iterator[bytes]:
    folder = os.fsencode(process)
    for name in (b"cwd", b"root"):
        yield from _target(folder + b"/" + name)
    for names in (b"fd", b"map_files"):
        try:
            listed = os.listdir(folder + b"/" + names)  # noqa: PTH208 - bytes, and many of them
        except OSError:
            continue  # another user's, or gone
        for name in listed:
            yield from _target(folder + b"/" + names + b"/" + name)


def _target(link: bytes) -> Iterator[bytes]:
    try:
        yield os.readlink(link)  # noqa: PTH115 - bytes, and many of them
    except OSError:
        return


def _command(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "?"
