"""A drive of a million files: how long a mount takes, and what the daemon takes for it.

    python tests/benchmarks/large_drive.py --files 1000000

The tree is written into the server's database directly: making it through a mount would measure
something else, for an hour. One folder holds 100,000 of the files. Times are seconds of this
machine; the marks are those of a person's patience (2 s, 60 s, 300 MB).
"""

import argparse
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

# Run as a file, Python looks for modules in this folder only; `harness` is beside it.
sys.path[0] = str(Path(__file__).absolute().parent.parent)

from harness.device import Device  # noqa: E402
from harness.mount import Mount  # noqa: E402
from harness.server import Server  # noqa: E402

IN_BIG: Final = 100_000
IN_OTHERS: Final = 900
FIRST_NODE: Final = 1 << 20
ROWS_AT_ONCE: Final = 50_000
FOLDER, FILE = 2, 1
MOUNT_DEADLINE_S: Final = 300.0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=1_000_000, help="more than 100,000 [1000000]")
    parser.add_argument("--dir", type=Path, help="on a real disk [the temporary folder]")
    options = parser.parse_args()
    if options.files <= IN_BIG:
        parser.error(f"--files must be more than {IN_BIG}")
    with tempfile.TemporaryDirectory(prefix="large-drive-", dir=options.dir) as folder:
        print(json.dumps(_measure(Path(folder), options.files), indent=1))
    return 0


def _measure(top: Path, files_count: int) -> dict[str, float]:
    found: dict[str, float] = {}

    def timed(what: str, work: Callable[[], object]) -> None:
        began_s = time.monotonic()
        work()
        found[what] = round(time.monotonic() - began_s, 2)
        print(f"{what}: {found[what]}", file=sys.stderr, flush=True)

    with ExitStack() as at_end:
        server = Server(top / "server")
        at_end.callback(server.stop)
        server.initialize()
        account = server.add_account("ada@example.org", "--quota", "200GiB")
        timed("fill_the_database_s", lambda: fill(server.data / "metadata.db", files_count))
        server.start()
        device = Device(top / "laptop")
        device.login(server.url, account)
        mount = Mount(device, device.folder / "drive", is_watched=False)
        at_end.callback(mount.clean_up)
        timed("mount_on_a_new_device_s", partial(mount.start, MOUNT_DEADLINE_S))
        found["daemon_peak_mb"] = _peak_mb(mount)
        big = mount.path / "big"
        timed("list_100000_names_s", lambda: os.listdir(big))  # noqa: PTH208
        timed("list_them_with_attributes_s", lambda: [e.stat() for e in os.scandir(big)])
        found["daemon_peak_with_listings_mb"] = _peak_mb(mount)
        assert mount.unmount().code == 0
        timed("mount_again_s", mount.start)
        timed("list_100000_names_again_s", lambda: os.listdir(big))  # noqa: PTH208
        found["daemon_peak_again_mb"] = _peak_mb(mount)
    return found


def _peak_mb(mount: Mount) -> float:
    status = Path(f"/proc/{mount.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000


def fill(database: Path, files_count: int) -> None:
    """Write the rows of a tree, as commits of one device would have left them."""
    connection = sqlite3.connect(database)
    drive_id, head = connection.execute("SELECT drive_id, head_sequence FROM drives").fetchone()
    columns = [row[1] for row in connection.execute("PRAGMA table_info(nodes)")]
    tree = _tree(files_count)
    while some := list(islice(tree, ROWS_AT_ONCE)):
        rows = []
        for node_id, kind, parent, name in some:
            head += 1
            rows.append((node_row(columns, drive_id, node_id, kind, head), parent, name, head))
        marks = ",".join("?" * len(columns))
        connection.executemany(f"INSERT INTO nodes VALUES ({marks})", [row[0] for row in rows])
        connection.executemany(
            "INSERT INTO dentries (drive_id, parent, name, node_id, sequence) VALUES (?,?,?,?,?)",
            [(drive_id, parent, name, row[1], at) for row, parent, name, at in rows],
        )
        connection.executemany(
            "INSERT INTO journal (drive_id, sequence, kind, node_id, device_id, accepted_at_ms) "
            "VALUES (?,?,1,?,1,0)",
            [(drive_id, at, row[1]) for row, _, _, at in rows],
        )
    connection.execute("UPDATE drives SET head_sequence = ?", (head,))
    connection.commit()
    connection.close()


def node_row(
    columns: list[str], drive_id: str, node_id: int, kind: int, sequence: int
) -> tuple[Any, ...]:
    """Return an empty file or a folder; bytes and numbers that nobody set are empty and 0."""
    said = {
        "drive_id": drive_id, "node_id": node_id, "sequence": sequence, "kind": kind,
        "mode": 0o755 if kind == FOLDER else 0o644, "mtime_ns": 10**18, "ctime_ns": 10**18,
        "attributes_version": sequence, "manifest_id": b"", "entries": b"", "target": b"",
        "xattrs": b"", "conflict_device": "",
    }  # fmt: skip
    return tuple(said.get(column, 0) for column in columns)


def _tree(files_count: int) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield (node, kind, parent, name): a folder before what is in it."""
    node_id = FIRST_NODE
    left, number = files_count, 0
    while left:
        folder = node_id
        yield folder, FOLDER, 1, b"big" if not number else b"folder %05d" % number
        node_id += 1
        for index in range(min(left, IN_OTHERS if number else IN_BIG)):
            yield node_id, FILE, folder, b"document %06d.txt" % index
            node_id += 1
            left -= 1
        number += 1


if __name__ == "__main__":
    sys.exit(main())
