"""Many small files of random bytes: made here, looked at and read on another device, removed."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import figures
from benchmarks.figures import Figure
from benchmarks.sites import Site
from benchmarks.sizes import SMALL_FILE_BYTES, Sizes
from benchmarks.stopwatch import Stopwatch


def measure_small_files(site: Site, sizes: Sizes) -> Mapping[Figure, float]:
    folder = site.new_folder()
    contents = {
        folder / f"file-{index:05}": os.urandom(SMALL_FILE_BYTES)
        for index in range(sizes.small_count)
    }
    paths = list(contents)
    found: dict[Figure, float] = {}

    def create() -> None:
        for path, content in contents.items():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            os.write(handle, content)
            os.close(handle)

    found[figures.CREATE_RETURN], found[figures.CREATE_DURABLE] = _rates(site, create, paths)

    site.stay()
    with site.elsewhere(paths) as there:
        seen = [there.seen(path) for path in paths]
        found[figures.STAT_COLD] = _stats_per_s(seen)
        found[figures.STAT_AGAIN] = _stats_per_s(seen)
        wanted = list(contents.values())
        found[figures.SMALL_COLD] = _reads_per_s(seen, wanted)
        found[figures.SMALL_AGAIN] = _reads_per_s(seen, wanted)

    def remove() -> None:
        for path in paths:
            path.unlink()

    found[figures.UNLINK_RETURN], found[figures.UNLINK_DURABLE] = _rates(site, remove, paths)
    return found


def _rates(site: Site, work: Callable[[], None], paths: Sequence[Path]) -> tuple[float, float]:
    """Return files a second until `work` returned, and until it was durable."""
    watch = Stopwatch()
    work()
    to_return_s = watch.read_s()
    site.sync()
    return len(paths) / to_return_s, len(paths) / watch.read_s()


def _stats_per_s(paths: Sequence[Path]) -> float:
    watch = Stopwatch()
    sizes = [path.stat().st_size for path in paths]
    seconds = watch.read_s()
    assert sizes == [SMALL_FILE_BYTES] * len(paths)
    return len(paths) / seconds


def _reads_per_s(paths: Sequence[Path], wanted: Sequence[bytes]) -> float:
    watch = Stopwatch()
    read = []
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        read.append(os.read(handle, SMALL_FILE_BYTES + 1))
        os.close(handle)
    seconds = watch.read_s()
    assert read == list(wanted), "a small file was read wrongly"
    return len(paths) / seconds
