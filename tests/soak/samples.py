"""What processes and folders measure, read from the outside."""

import os
import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from harness.mount import Mount
from harness.server import Server

LOOK_EVERY_S: Final = 0.25
_COUNTED_TABLES: Final = {
    "uploads": "SELECT count(*) FROM uploads",
    "upload chunks": "SELECT count(*) FROM upload_chunks",
    "answers": "SELECT count(*) FROM operation_answers",
    "journal": "SELECT count(*) FROM journal",
    "tombstones": "SELECT (SELECT count(*) FROM nodes WHERE kind = 0) + "
    "(SELECT count(*) FROM dentries WHERE node_id IS NULL)",
}


def of_process(pid: int) -> dict[str, float]:
    """Return memory in bytes, and how many descriptors and threads.

    `own memory` is anonymous: the rest of `memory` is pages of files, which the kernel may take.
    """
    process = Path(f"/proc/{pid}")
    sizes = {
        name: int(rest.split()[0]) * 1024
        for name, _, rest in (
            line.partition(":") for line in (process / "smaps_rollup").read_text().splitlines()[1:]
        )
    }
    return {
        "memory": sizes["Rss"],
        "own memory": sizes["Anonymous"],
        "descriptors": len(list((process / "fd").iterdir())),
        "threads": len(list((process / "task").iterdir())),
    }


def of_folder(folder: Path) -> int:
    """Return the bytes that the files below `folder` take on the disk; holes do not count."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # removed meanwhile
                total += (Path(path) / name).stat().st_blocks * 512
    return total


def of_mount(mount: Mount) -> dict[str, float]:
    """Return what a daemon holds when it has nothing to do."""
    status = mount.status()
    found = of_process(mount.process.pid) | of_state(mount)
    found["cache of its limit"] = status["cache"]["used_bytes"] / status["cache"]["limit_bytes"]
    found["queue"] = status["queue"]["operations"]
    found["parked"] = len(status["parked"])
    found["conflict copies"] = status["conflicts_count"]
    found["inodes"] = status["kernel"]["inodes"]
    found["open files"] = status["kernel"]["open_files"]
    found["files without a name"] = status["kernel"]["nameless_files"]
    return found


def of_state(mount: Mount) -> dict[str, float]:
    """Return the bytes in a device's state folder, by what they are."""
    state = mount.device.state
    [drive] = (state / "drives").iterdir()
    database, log = drive / "state.db", drive / "state.db-wal"
    return {
        "staging": of_folder(drive / "staging"),
        "state.db": database.stat().st_size,
        "write-ahead log": log.stat().st_size,
        "cache folder": of_folder(state / "cache"),
        "logs": of_folder(state / "log"),
    }


def of_server(server: Server, *, written_bytes: int) -> dict[str, float]:
    """Return what the server holds; of tables, the rows that must not stay."""
    found = of_process(server.process.pid)
    path = server.data / "metadata.db"
    found["metadata.db"] = path.stat().st_size
    found["write-ahead log"] = path.with_name("metadata.db-wal").stat().st_size
    stored_bytes = of_folder(server.data / "blocks") + found["metadata.db"]
    found["stored of written"] = stored_bytes / max(1, written_bytes)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        for name, statement in _COUNTED_TABLES.items():
            (found[name],) = database.execute(statement).fetchone()
    return found


class PeakWatch:
    """The most that each measurement was between two calls of `take`; looks every LOOK_EVERY_S."""

    def __init__(self, measure: Callable[[], Mapping[str, float]]) -> None:
        self._measure = measure
        self._peaks: dict[str, float] = {}
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak watch", daemon=True)
        self._thread.start()

    def take(self) -> dict[str, float]:
        self._look()
        with self._lock:
            peaks, self._peaks = self._peaks, {}
        return {f"peak {name}": value for name, value in peaks.items()}

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(LOOK_EVERY_S):
            with suppress(OSError):  # it ends: who asks for a sample will say so better
                self._look()

    def _look(self) -> None:
        found = self._measure()
        with self._lock:
            for name, value in found.items():
                self._peaks[name] = max(value, self._peaks.get(name, 0))
