"""A mount in numbers: the answer of `mountfs status --json`. Field names are a contract."""

import time
from collections import deque
from pathlib import Path
from typing import Final

import msgspec

RECENT_COUNT_MAX: Final = 50
RATE_WINDOW_S: Final = 5.0


class Parked(msgspec.Struct, frozen=True):
    """A change that the server refused, and why. It waits here; nothing else waits for it."""

    path: str
    reason: str


class Conflict(msgspec.Struct, frozen=True):
    """Two devices changed a file; what `device` wrote is in the copy at `path`.

    `original` is empty if it was removed since. `at` is Unix seconds.
    """

    path: str
    original: str = ""
    device: str = ""
    at: float = 0.0
    size_bytes: int = 0
    original_size_bytes: int = 0


class Recovered(msgspec.Struct, frozen=True):
    """What a power loss, or damage, cut off from the file at `path`, set aside in `copy`.

    The copy is sparse: its bytes lie at their offsets in the file. It is listed until it is moved
    away or removed.
    """

    path: str
    copy: str


class Queue(msgspec.Struct, frozen=True):
    """What the server does not have yet."""

    operations: int = 0
    dirty_bytes: int = 0

    @property
    def is_empty(self) -> bool:
        return not (self.operations or self.dirty_bytes)


class Transfers(msgspec.Struct, frozen=True):
    """Since the mount began; rates over the last seconds."""

    bytes_up: int = 0
    bytes_down: int = 0
    rate_up_bps: float = 0.0
    rate_down_bps: float = 0.0
    saved_by_delta_bytes: int = 0
    saved_by_dedup_bytes: int = 0
    saved_by_compression_bytes: int = 0


class CacheUse(msgspec.Struct, frozen=True):
    used_bytes: int = 0
    limit_bytes: int = 0
    hits: int = 0
    misses: int = 0


class Memory(msgspec.Struct, frozen=True):
    """`anonymous_bytes` is the process's own; the rest of `rss_bytes` is pages of files."""

    rss_bytes: int = 0
    anonymous_bytes: int = 0


class KernelUse(msgspec.Struct, frozen=True):
    """What is remembered for the kernel, until it forgets it or programs close it."""

    inodes: int = 0
    open_files: int = 0
    nameless_files: int = 0
    """Removed, and open or still known to the kernel."""


class Happening(msgspec.Struct, frozen=True):
    """One line of what happened lately. `at` is Unix seconds."""

    at: float
    what: str
    path: str


class MountStatus(msgspec.Struct, frozen=True, kw_only=True):
    mount_point: str
    pid: int
    drive: str
    online: bool
    queue: Queue
    parked: list[Parked]
    conflicts: list[Conflict]
    """The oldest few; `conflicts_count` says how many there are."""
    conflicts_count: int = 0
    recovered: list[Recovered] = []
    transfers: Transfers
    cache: CacheUse
    memory: Memory
    kernel: KernelUse = KernelUse()
    recent: list[Happening]


class RateMeter:
    """Bytes a second over the last RATE_WINDOW_S, from a growing count."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque(maxlen=64)

    def rate_bps(self, count: int, *, now_s: float) -> float:
        """Return the rate after `count` was read at `now_s`."""
        samples = self._samples
        samples.append((now_s, count))
        while len(samples) > 2 and samples[0][0] < now_s - RATE_WINDOW_S:
            samples.popleft()
        elapsed_s = now_s - samples[0][0]
        return 8 * (count - samples[0][1]) / elapsed_s if elapsed_s > 0 else 0.0


class RecentHappenings:
    """The last RECENT_COUNT_MAX things that a person would want to see."""

    def __init__(self) -> None:
        self._happenings: deque[Happening] = deque(maxlen=RECENT_COUNT_MAX)

    def note(self, what: str, path: str) -> None:
        self._happenings.append(Happening(time.time(), what, path))

    def newest_first(self) -> list[Happening]:
        return list(reversed(self._happenings))


def load_memory(status_file: Path = Path("/proc/self/status")) -> Memory:
    """Return what this process takes; zeros where the system does not tell."""
    try:
        lines = status_file.read_text().splitlines()
    except OSError:
        return Memory()
    sizes = {
        name: int(rest.split()[0]) * 1024
        for name, _, rest in (line.partition(":") for line in lines)
        if name in ("VmRSS", "RssAnon")
    }
    return Memory(sizes.get("VmRSS", 0), sizes.get("RssAnon", 0))
