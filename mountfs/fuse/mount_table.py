"""What the kernel says is mounted: /proc/self/mountinfo (proc_pid_mountinfo(5)).

Reading it never asks a file system anything, so it cannot hang on a dead mount.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MOUNT_INFO = Path("/proc/self/mountinfo")
_OCTAL = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mounted:
    """One line of the table. `device` is MAJ:MIN; `kind` for example `fuse.mountfs`."""

    mount_point: Path
    device: str
    kind: str
    source: str


def load_mounts() -> list[Mounted]:
    """Return what is mounted, oldest first; a later line hides an earlier one of its folder."""
    return list(parse_mounts(_MOUNT_INFO.read_bytes()))


def find_mount(mount_point: Path) -> Mounted | None:
    """Return what is mounted on `mount_point` (absolute, without links), if anything is."""
    found = [mounted for mounted in load_mounts() if mounted.mount_point == mount_point]
    return found[-1] if found else None


def parse_mounts(table: bytes) -> Iterator[Mounted]:
    """Yield the lines of a mountinfo table. Pure."""
    for line in table.splitlines():
        before, _, after = line.partition(b" - ")
        fields = before.split()
        kind, source = after.split()[:2]
        yield Mounted(
            mount_point=Path(_unescape(fields[4])),
            device=fields[2].decode(),
            kind=kind.decode(),
            source=_unescape(source),
        )


def _unescape(field: bytes) -> str:
    raw = _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field)
    return raw.decode(errors="surrogateescape")
