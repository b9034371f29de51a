"""A device comes back to a drive that moved on by 100,000 entries, or whose feed was reset.

    python tests/benchmarks/long_absence.py --files 200000 --changes 100000

The server's rows are changed while it is down: making so many changes through another mount would
measure that mount. Meanwhile a program works on the mount that comes back: it looks up names, asks
for room, writes small files and reads one. Times are seconds of this machine. Goals: no call of
that program waits for more than 0.1 s, and the daemon stays under 300 MB.
"""

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

# Run as a file, Python looks for modules in this folder only; `harness` is beside it.
sys.path[0] = str(Path(__file__).absolute().parent.parent)

from benchmarks.large_drive import FIRST_NODE, IN_BIG, fill, node_row  # noqa: E402
from benchmarks.memory_watch import MemoryWatch  # noqa: E402
from harness.device import Device  # noqa: E402
from harness.mount import Mount  # noqa: E402
from harness.server import Server  # noqa: E402
from harness.stall_watch import StallWatch  # noqa: E402
from harness.waiting import wait_until  # noqa: E402

DEADLINE_S: Final = 600.0
NEW_EPOCH: Final = "0123456789abcdef"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=200_000, help="more than 100,000 [200000]")
    parser.add_argument("--changes", type=int, default=100_000, help="entries [100000]")
    parser.add_argument("--pending", type=int, default=0, help="files written meanwhile [0]")
    parser.add_argument("--dir", type=Path, help="on a real disk [the temporary folder]")
    options = parser.parse_args()
    if options.files <= IN_BIG or options.changes > 4 * IN_BIG:
        parser.error(f"more than {IN_BIG} files, at most {4 * IN_BIG} changes")
    with tempfile.TemporaryDirectory(prefix="long-absence-", dir=options.dir) as folder:
        found = _measure(Path(folder), options.files, options.changes, options.pending)
        print(json.dumps(found, indent=1))
    return 0


def _measure(
    top: Path, files_count: int, changes_count: int, pending_count: int
) -> dict[str, float]:
    found: dict[str, float] = {}
    with ExitStack() as at_end:
        server = Server(top / "server")
        at_end.callback(server.stop)
        server.initialize()
        account = server.add_account("ada@example.org", "--quota", "200GiB")
        database = server.data / "metadata.db"
        fill(database, files_count)
        server.start()
        device = Device(top / "laptop")
        device.login(server.url, account)
        mount = Mount(device, device.folder / "drive", is_watched=False)
        at_end.callback(mount.clean_up)
        mount.start(DEADLINE_S)
        with _absence(found, "changes", server, mount, "created 1", pending_count):
            move_on(database, changes_count, folder_name=b"created 1")
        with _absence(found, "reset", server, mount, "created 2", pending_count):
            move_on(database, 4000, folder_name=b"created 2")
            reset_feed(database)
        assert mount.unmount().code == 0
    return found


@contextmanager
def _absence(
    found: dict[str, float],
    what: str,
    server: Server,
    mount: Mount,
    folder_name: str,
    pending_count: int,
) -> Iterator[None]:
    """The server is away, and changes inside; then it is back, and the mount catches up."""
    server.stop()
    written = mount.path / f"written before {folder_name}"
    written.mkdir()
    for number in range(max(pending_count, 1)):
        (written / f"{number}").write_bytes(b"while the server is away")
    yield
    with (
        MemoryWatch(mount.process.pid) as memory,
        StallWatch(mount.path, mount.path / "big") as stalls,
    ):
        began_s = time.monotonic()
        server.start()
        folder = mount.path / folder_name
        wait_until(folder.exists, deadline_s=DEADLINE_S, what="the changes are there")
        found[f"{what}_visible_after_s"] = round(time.monotonic() - began_s, 2)
        done = mount.try_sync(DEADLINE_S)
        assert done.code == 0, done
        found[f"{what}_caught_up_after_s"] = round(time.monotonic() - began_s, 2)
    for call, waited_s in stalls.longest_s.items():
        found[f"{what}_longest_{call}_s"] = round(waited_s, 3)
    found[f"{what}_calls"] = stalls.calls_count
    found[f"{what}_rss_max_mb"] = round(memory.rss_bytes_max / 1e6, 1)
    print(json.dumps(found), file=sys.stderr, flush=True)


def move_on(database: Path, changes_count: int, *, folder_name: bytes) -> None:
    """Change the drive: a quarter each of the entries are made, edited, renamed and removed.

    The new files are in a folder of their own; the others were in the big one.
    """
    quarter = changes_count // 4
    connection = sqlite3.connect(database)
    drive_id, head = connection.execute("SELECT drive_id, head_sequence FROM drives").fetchone()
    columns = [row[1] for row in connection.execute("PRAGMA table_info(nodes)")]
    (last,) = connection.execute("SELECT max(node_id) FROM nodes").fetchone()
    olds = connection.execute(
        "SELECT name, node_id FROM dentries WHERE drive_id = ? AND parent = ? AND "
        "node_id IS NOT NULL AND name >= ? AND name < ? ORDER BY name LIMIT ?",
        (drive_id, FIRST_NODE, b"document ", b"document:", 3 * quarter),
    ).fetchall()
    assert len(olds) == 3 * quarter
    edited, renamed, removed = (olds[at * quarter : (at + 1) * quarter] for at in range(3))
    sequences = iter(range(head + 1, head + 10 * changes_count))
    touched: list[tuple[int, int]] = []

    def at(node_id: int) -> int:
        sequence = next(sequences)
        touched.append((sequence, node_id))
        return sequence

    folder = last + 1
    made = [(folder, 2, 1, folder_name)]
    made += [(folder + 1 + n, 1, folder, b"new %06d" % n) for n in range(quarter)]
    for node_id, kind, parent, name in made:
        sequence = at(node_id)
        row = node_row(columns, drive_id, node_id, kind, sequence)
        connection.execute(f"INSERT INTO nodes VALUES ({','.join('?' * len(columns))})", row)
        connection.execute(
            "INSERT INTO dentries (drive_id, parent, name, node_id, sequence) VALUES (?,?,?,?,?)",
            (drive_id, parent, name, node_id, sequence),
        )
    connection.executemany(
        "UPDATE nodes SET mode = 384, attributes_version = ?1, sequence = ?1 "
        "WHERE drive_id = ?2 AND node_id = ?3",
        [(at(node_id), drive_id, node_id) for _, node_id in edited],
    )
    for name, node_id in renamed:
        sequence = at(node_id)
        _lead_to(connection, drive_id, name, None, sequence)
        _lead_to(connection, drive_id, b"renamed %d" % sequence, node_id, sequence)
    for name, node_id in removed:
        sequence = at(node_id)
        _lead_to(connection, drive_id, name, None, sequence)
        connection.execute(
            "UPDATE nodes SET kind = 0, sequence = ? WHERE drive_id = ? AND node_id = ?",
            (sequence, drive_id, node_id),
        )
    connection.executemany(
        "INSERT INTO journal (drive_id, sequence, kind, node_id, device_id, accepted_at_ms) "
        "VALUES (?,?,1,?,1,0)",
        [(drive_id, *row) for row in touched],
    )
    connection.execute("UPDATE drives SET head_sequence = ?", (touched[-1][0],))
    connection.commit()
    connection.close()


def reset_feed(database: Path) -> None:
    """Let the server have come back from a backup: no cursor of before holds."""
    connection = sqlite3.connect(database)
    connection.execute("UPDATE drives SET epoch = ?", (NEW_EPOCH,))
    connection.commit()
    connection.close()


def _lead_to(
    connection: sqlite3.Connection, drive_id: str, name: bytes, node_id: int | None, sequence: int
) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO dentries (drive_id, parent, name, node_id, sequence) "
        "VALUES (?,?,?,?,?)",
        (drive_id, FIRST_NODE, name, node_id, sequence),
    )


if __name__ == "__main__":
    sys.exit(main())
