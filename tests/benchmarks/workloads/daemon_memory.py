"""What the daemons take while a file much larger than that goes up here and comes down there."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks import figures
from benchmarks.figures import Figure
from benchmarks.memory_watch import MemoryWatch
from benchmarks.sites import DriveSite, Site
from benchmarks.sizes import MIB, Sizes

PIECE_BYTES: Final = 4 * MIB


def measure_daemon_memory(site: Site, sizes: Sizes) -> Mapping[Figure, float]:
    assert isinstance(site, DriveSite)
    # New daemons: the peak must not be that of an earlier workload.
    with site.new_seat(site.link) as here:
        path = here.path / "stream.bin"
        with MemoryWatch(here.pid) as up:
            written = _write(path, sizes.streamed_bytes)
            here.sync()
        with site.new_seat(site.link) as there:
            with MemoryWatch(there.pid) as down:
                read = _read(there.path / path.name)
        assert read == written, "the stream was read wrongly"
        path.unlink()
        here.sync()
    return {
        figures.WRITE_RSS: up.rss_bytes_max / 1e6,
        figures.WRITE_ANON: up.anonymous_bytes_max / 1e6,
        figures.READ_RSS: down.rss_bytes_max / 1e6,
        figures.READ_ANON: down.anonymous_bytes_max / 1e6,
    }


def _write(path: Path, size_bytes: int) -> str:
    digest = hashlib.blake2b()
    with path.open("xb", buffering=0) as file:
        for _ in range(0, size_bytes, PIECE_BYTES):
            piece = os.urandom(PIECE_BYTES)
            digest.update(piece)
            assert file.write(piece) == len(piece)
    return digest.hexdigest()


def _read(path: Path) -> str:
    digest = hashlib.blake2b()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
