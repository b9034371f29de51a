"""Figures of the block cache: prints a table, then JSON. Asserts nothing.

    python tests/benchmarks/cache_figures.py [--folder DIR]

The folder decides what is measured: the default is the disk that holds the system's temporary
files. Everything is read back from the kernel's page cache, as a warm cache is.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from cache import BlockCache

KIB = 1024
MIB = 1024 * KIB
CHUNK_BYTES = 256 * KIB
CHUNK_COUNT = 512
BATCH_COUNT = 16
VIEW = "drive:1"


def chunk_id(index: int) -> bytes:
    return index.to_bytes(4) * 8


def seconds_each(work: Callable[[int], object], count: int, rounds: int = 5) -> float:
    """Return the best mean over `rounds` of `count` calls."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for index in range(count):
            work(index)
        best = min(best, (time.perf_counter() - start) / count)
    return best


def put_rate(folder: Path, chunk: bytes) -> float:
    """Return bytes a second of batches into a cache that is not yet full."""
    with_room = BlockCache.open(folder, device_key=bytes(32), limit_bytes=1024 * MIB)
    batches = CHUNK_COUNT // BATCH_COUNT
    times = []
    for batch in range(batches):
        chunks = [(chunk_id(batch * BATCH_COUNT + at), chunk) for at in range(BATCH_COUNT)]
        start = time.perf_counter()
        with_room.put_many(VIEW, chunks)
        times.append(time.perf_counter() - start)
    with_room.close()
    return BATCH_COUNT * len(chunk) / statistics.median(times)


def plain_write_rate(path: Path, chunk: bytes) -> float:
    """Return bytes a second of the same batches into a plain new file, as a yardstick."""
    batch = chunk * BATCH_COUNT
    times = []
    with path.open("wb", buffering=0) as file:
        for _ in range(CHUNK_COUNT // BATCH_COUNT):
            start = time.perf_counter()
            file.write(batch)
            times.append(time.perf_counter() - start)
    return len(batch) / statistics.median(times)


def churn_rate(folder: Path, chunk: bytes) -> tuple[float, float]:
    """Return bytes a second into a full cache, evictions included, and file size by limit."""
    limit = 128 * MIB
    full = BlockCache.open(folder, device_key=bytes(32), limit_bytes=limit)
    total = 0
    index = 0
    start = 0.0
    rounds = random.Random(1)
    while total < 8 * limit:
        if total >= limit and not start:
            start, counted_from = time.perf_counter(), total
        chunks = []
        for _ in range(BATCH_COUNT):
            length = rounds.choice((8 * KIB, 70 * KIB, 256 * KIB, 256 * KIB, 400 * KIB))
            chunks.append((chunk_id(index), (chunk * 2)[:length]))
            total += length
            index += 1
        full.put_many(VIEW, chunks)
    rate = (total - counted_from) / (time.perf_counter() - start)
    file_share = full.stats().file_bytes / limit
    full.close()
    return rate, file_share


def latency_beside_a_writer(cache: BlockCache, chunk: bytes) -> tuple[float, float]:
    """Return median and 99th percentile of 4 KiB reads while another thread puts, in seconds."""
    is_done = threading.Event()

    def write() -> None:
        index = 1_000_000
        while not is_done.is_set():
            cache.put_many(VIEW, [(chunk_id(index + at), chunk) for at in range(BATCH_COUNT)])
            index += BATCH_COUNT

    interval_before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    writer = threading.Thread(target=write)
    writer.start()
    times = []
    try:
        for index in range(3000):
            start = time.perf_counter()
            cache.read(VIEW, chunk_id(index % 64), 8 * KIB, 4 * KIB)
            times.append(time.perf_counter() - start)
    finally:
        is_done.set()
        writer.join()
        sys.setswitchinterval(interval_before)
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def resident_mib() -> tuple[float, float]:
    """Return (all, of files) resident memory of this process in MiB."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return (
        int(fields["VmRSS"].split()[0]) / KIB,
        int(fields["RssFile"].split()[0]) / KIB,
    )


def measure(folder: Path) -> dict[str, float]:
    chunk = os.urandom(CHUNK_BYTES)
    figures: dict[str, float] = {}
    figures["put 16 x 256 KiB, MB/s"] = put_rate(folder / "put", chunk) / 1e6
    figures["plain write of the same, MB/s"] = plain_write_rate(folder / "plain", chunk) / 1e6
    churn, file_share = churn_rate(folder / "churn", chunk)
    figures["put into a full cache, mixed sizes, MB/s"] = churn / 1e6
    figures["file size after 8 turnovers, share of limit"] = file_share

    start = time.perf_counter()
    cache = BlockCache.open(folder / "put", device_key=bytes(32), limit_bytes=1024 * MIB)
    figures["open with 512 chunks, ms"] = (time.perf_counter() - start) * 1e3

    order = random.Random(2)
    places = [
        (chunk_id(order.randrange(CHUNK_COUNT)), order.randrange(CHUNK_BYTES - 4 * KIB))
        for _ in range(4096)
    ]
    whole = seconds_each(lambda at: cache.get(VIEW, chunk_id(at)), CHUNK_COUNT)
    figures["get 256 KiB, us"] = whole * 1e6
    figures["get 256 KiB, MB/s"] = CHUNK_BYTES / whole / 1e6
    figures["read 128 KiB, us"] = (
        seconds_each(lambda at: cache.read(VIEW, chunk_id(at), 0, 128 * KIB), CHUNK_COUNT) * 1e6
    )
    figures["read 4 KiB at random, us"] = (
        seconds_each(lambda at: cache.read(VIEW, *places[at], 4 * KIB), len(places)) * 1e6
    )
    figures["read 4 KiB at random, aligned, us"] = (
        seconds_each(
            lambda at: cache.read(VIEW, places[at][0], places[at][1] & ~4095, 4 * KIB), len(places)
        )
        * 1e6
    )
    figures["miss, us"] = seconds_each(lambda at: cache.get(VIEW, b"none"), 4096) * 1e6

    small = [(chunk_id(2_000_000 + at), chunk[: 8 * KIB]) for at in range(1000)]
    start = time.perf_counter()
    cache.put_many(VIEW, small)
    figures["put 1000 x 8 KiB, ms"] = (time.perf_counter() - start) * 1e3
    figures["get 8 KiB, us"] = seconds_each(lambda at: cache.get(VIEW, small[at][0]), 1000) * 1e6
    ids = [one for one, _ in small]
    figures["contains 1000, us"] = seconds_each(lambda _: cache.contains_many(VIEW, ids), 20) * 1e6
    start = time.perf_counter()
    report = cache.maintain()
    figures[f"upkeep writing {report.recency_written_count} uses, ms"] = (
        time.perf_counter() - start
    ) * 1e3

    median, late = latency_beside_a_writer(cache, chunk)
    figures["read 4 KiB beside a writer, p50, us"] = median * 1e6
    figures["read 4 KiB beside a writer, p99, us"] = late * 1e6
    all_mib, file_mib = resident_mib()
    figures["resident after all this, MiB"] = all_mib
    figures["of it pages of files, MiB"] = file_mib
    cache.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, default=None)
    with tempfile.TemporaryDirectory(dir=parser.parse_args().folder) as folder:
        figures = measure(Path(folder))
    for name, value in figures.items():
        print(f"{name:<48} {value:>10,.2f}")
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
