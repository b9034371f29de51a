"""What a figure depends on besides us: the machine, its disk, and who else uses it now."""

import mmap
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

CALM_SHARE: Final = 0.2
"""Of the CPU may be busy when a measurement begins; our own idle daemons take 1–2 %."""
LOOK_S: Final = 1.0
_STEP_BYTES: Final = 1 << 20


def file_system_of(folder: Path) -> str:
    """Return the type of the file system that holds `folder`, as the kernel calls it."""
    found, longest = "", -1
    target = str(folder.resolve())
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        point = fields.split()[4].encode().decode("unicode_escape")
        below = point == "/" or target == point or target.startswith(point + "/")
        if below and len(point) >= longest:
            found, longest = rest.split()[0], len(point)
    return found


def describe_machine(folder: Path) -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 10**6,
        "system": platform.platform(),
        "python": platform.python_version(),
        "file_system": file_system_of(folder),
        "load_1_5_15": [round(one, 2) for one in os.getloadavg()],
    }


def _cpu_times() -> tuple[int, int]:
    """Return (busy, all) ticks of all cores since the machine started."""
    line = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    ticks = [int(one) for one in line[:8]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)


def busy_share(look_s: float = LOOK_S) -> float:
    """Return which share of all cores was busy during the next `look_s` seconds."""
    busy, total = _cpu_times()
    time.sleep(look_s)
    busy_now, total_now = _cpu_times()
    return (busy_now - busy) / max(1, total_now - total)


def wait_for_calm(patience_s: float, look: Callable[[], float] = busy_share) -> float:
    """Return how busy the machine is, as soon as it is calm or patience has run out."""
    gives_up_at = time.monotonic() + patience_s
    while (share := look()) > CALM_SHARE and time.monotonic() < gives_up_at:
        pass
    return share


def have_memory_at_hand(size_bytes: int) -> None:
    """Touch so much memory, at most half of what is free, and give it back, so that the kernel has
    it when it is needed next.

    A virtual machine's host takes free memory away ("free page reporting", "balloon"), and a page
    that it has to give back costs some 2.5 µs: filling new pages of the page cache then runs at
    400 MB/s instead of 5,000, whatever file system they belong to.
    """
    free_bytes = os.sysconf("SC_AVPHYS_PAGES") * mmap.PAGESIZE
    step = bytes([1]) * _STEP_BYTES
    with mmap.mmap(-1, max(min(size_bytes, free_bytes // 2), _STEP_BYTES)) as memory:
        # In small pages: these come from where the page cache will take its own.
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        for start in range(0, len(memory) - _STEP_BYTES + 1, _STEP_BYTES):
            memory[start : start + _STEP_BYTES] = step


class OthersWatch:
    """Tells which share of all cores went to processes that are not ours while it ran.

    Ours are this process and its descendants, also those that ended and were waited for.
    """

    def __init__(self) -> None:
        self._busy_before, self._all_before = _cpu_times()
        self._ours_before = our_cpu_ticks()

    def share(self) -> float:
        busy, total = _cpu_times()
        others = busy - self._busy_before - (our_cpu_ticks() - self._ours_before)
        return min(1.0, max(0.0, others / max(1, total - self._all_before)))


def our_cpu_ticks() -> int:
    """Return the ticks that this process and its descendants have taken so far."""
    parent_of, ticks_of = _processes()
    ours = {os.getpid()}
    children_of: dict[int, list[int]] = {}
    for pid, parent in parent_of.items():
        children_of.setdefault(parent, []).append(pid)
    waiting = [os.getpid()]
    while waiting:
        for child in children_of.get(waiting.pop(), []):
            ours.add(child)
            waiting.append(child)
    return sum(ticks_of.get(pid, 0) for pid in ours)


def _processes() -> tuple[dict[int, int], dict[int, int]]:
    """Return each process' parent, and its ticks with those of its ended children."""
    parent_of: dict[int, int] = {}
    ticks_of: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            text = (entry / "stat").read_text(errors="replace")
        except OSError:
            continue  # it has just ended
        # The name in parentheses may hold anything, spaces and parentheses too; proc(5).
        fields = text.rpartition(")")[2].split()
        parent_of[int(entry.name)] = int(fields[1])
        ticks_of[int(entry.name)] = sum(int(one) for one in fields[11:15])
    return parent_of, ticks_of
