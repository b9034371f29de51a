"""What the server's tree costs, on SQLite in a folder, through the real threads.

    python tests/benchmarks/metadata_figures.py [FOLDER]

CPU is of the whole process. Contents are sealed for real; nothing goes through HTTP.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from backend_server.domain.caller import Caller
from backend_server.metadata.executors import ThreadExecutor
from backend_server.protocol.commit_messages import Outcome
from backend_server.protocol.identity import DeviceId
from drive_kit import (
    DRIVE,
    FIRST_NODE,
    OWNER,
    DriveKit,
    create,
    inline_content,
    open_drive,
    place,
    set_content,
)

FILES = 1000
FILE_BYTES = 8192
EDITS = 300
WRITERS = 64


async def measured(what: str, count: int, work: Callable[[], Awaitable[None]]) -> None:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    await work()
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    print(
        f"{what:<58} {wall_s * 1e3:8.1f} ms wall {cpu_s * 1e3:8.1f} ms CPU"
        f" {cpu_s / count * 1e6:7.0f} µs CPU each"
    )


async def applied(kit: DriveKit, *operations: object, caller: Caller = OWNER) -> int:
    answer = await kit.commit(*operations, caller=caller)  # type: ignore[arg-type]
    assert all(each.outcome is Outcome.APPLIED for each in answer.answers)
    return answer.answers[-1].sequence


async def run(folder: str) -> None:
    kit = await open_drive(Path(folder) / "metadata.db", executor=ThreadExecutor)
    (start,) = await kit.snapshot()
    creates = [
        create(1, b"%d" % n, FIRST_NODE + n, content=inline_content(os.urandom(FILE_BYTES)))
        for n in range(FILES)
    ]

    async def create_all() -> None:
        await applied(kit, *creates)

    async def load_all() -> None:
        page = await kit.load_changes(OWNER, DRIVE, start.cursor)
        assert len(page.dentries) == FILES

    async def edit_one_by_one() -> None:
        revision = 2
        for _ in range(EDITS):
            edit = set_content(FIRST_NODE, revision, inline_content(os.urandom(FILE_BYTES)))
            began_s = time.perf_counter()
            revision = await applied(kit, edit)
            latencies_ms.append((time.perf_counter() - began_s) * 1e3)

    async def edit_by_one_device(writer: int) -> None:
        caller = Caller(OWNER.account_id, DeviceId(100 + writer))
        revision = 3 + writer
        for _ in range(10):
            edit = set_content(
                FIRST_NODE + 1 + writer, revision, inline_content(os.urandom(FILE_BYTES))
            )
            revision = await applied(kit, edit, caller=caller)

    async def edit_by_many() -> None:
        await asyncio.gather(*(edit_by_one_device(writer) for writer in range(WRITERS)))

    async def remove_all() -> None:
        await applied(kit, *(place((1, b"%d" % n, FIRST_NODE + n, 0)) for n in range(FILES)))

    latencies_ms: list[float] = []
    await measured(f"commit of {FILES} creates with {FILE_BYTES} bytes inline", FILES, create_all)
    await measured(f"changes of {FILES} nodes and {FILES} dentries", 2 * FILES, load_all)
    await measured(f"{EDITS} commits of one edit, one by one", EDITS, edit_one_by_one)
    latencies_ms.sort()
    p50, p99 = latencies_ms[EDITS // 2], latencies_ms[EDITS * 99 // 100]
    print(f"  latency p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    many = f"{WRITERS * 10} commits of one edit by {WRITERS} devices at once"
    await measured(many, WRITERS * 10, edit_by_many)
    await measured(f"commit of {FILES} removals", FILES, remove_all)
    await kit.database.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as place_:
        asyncio.run(run(place_))
