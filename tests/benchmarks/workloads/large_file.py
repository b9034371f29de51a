"""One large file of random bytes: written through, read back cold, from the disk cache, from the
page cache, and in small pieces at random."""

import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks import figures
from benchmarks.figures import Column, Figure
from benchmarks.machine import have_memory_at_hand
from benchmarks.sites import Site
from benchmarks.sizes import MIB, RANDOM_READ_BYTES, Sizes
from benchmarks.stopwatch import Stopwatch

PIECE_BYTES: Final = MIB
MEMORY_AT_HAND: Final = 12
"""So many times the file: what is staged, stored, cached and read takes memory of its own each, and
the kernel does not take just the pages that were touched last."""
SEED: Final = 4


def measure_large_file(site: Site, sizes: Sizes) -> Mapping[Figure, float]:
    content = os.urandom(sizes.large_bytes)
    path = site.new_folder() / "large.bin"
    have_memory_at_hand(MEMORY_AT_HAND * sizes.large_bytes)
    watch = Stopwatch()
    _write(path, content)
    to_return_s = watch.read_s()
    site.sync()
    to_durable_s = watch.read_s()
    found = {
        figures.WRITE_RETURN: _rate(content, to_return_s),
        figures.WRITE_DURABLE: _rate(content, to_durable_s),
    }
    site.stay()
    with site.elsewhere([path]) as there:
        seen = there.seen(path)
        have_memory_at_hand(MEMORY_AT_HAND * sizes.large_bytes)
        found[figures.READ_COLD] = _rate(content, _read_s(seen, content))
        if site.column is not Column.PLAIN:
            there.forget([seen])
            found[figures.READ_CACHE] = _rate(content, _read_s(seen, content))
        found[figures.READ_PAGES] = _rate(content, _read_s(seen, content))
        there.forget([seen])
        found[figures.RANDOM_READS] = _random_reads_per_s(seen, content, sizes.random_read_count)
    return found


def _rate(content: bytes, seconds: float) -> float:
    return len(content) / 1e6 / seconds


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    handle = os.open(path, flags, 0o644)
    try:
        yield handle
    finally:
        os.close(handle)


def _write(path: Path, content: bytes) -> None:
    view = memoryview(content)
    with _opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as handle:
        for start in range(0, len(content), PIECE_BYTES):
            piece = view[start : start + PIECE_BYTES]
            assert os.write(handle, piece) == len(piece)
        os.fsync(handle)


def _read_s(path: Path, content: bytes) -> float:
    """Return how long it took to read all of `path`, which must hold `content`."""
    # Memory that was never touched would be made during the measurement.
    buffer = bytearray(b"\xff") * len(content)
    view = memoryview(buffer)
    at = 0
    watch = Stopwatch()
    with _opened(path, os.O_RDONLY) as handle:
        while got := os.readv(handle, [view[at : at + PIECE_BYTES]]) if at < len(content) else 0:
            at += got
    seconds = watch.read_s()
    assert buffer == content, f"{path} was read wrongly"
    return seconds


def _random_reads_per_s(path: Path, content: bytes, count: int) -> float:
    chance = random.Random(SEED)
    pieces = len(content) // RANDOM_READ_BYTES
    offsets = [chance.randrange(pieces) * RANDOM_READ_BYTES for _ in range(count)]
    with _opened(path, os.O_RDONLY) as handle:
        # Or the kernel would read around each piece.
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
        watch = Stopwatch()
        read = [os.pread(handle, RANDOM_READ_BYTES, offset) for offset in offsets]
        seconds = watch.read_s()
    for offset, piece in zip(offsets, read, strict=True):
        assert piece == content[offset : offset + RANDOM_READ_BYTES], f"{path} was read wrongly"
    return count / seconds
