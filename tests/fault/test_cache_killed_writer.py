"""A cache whose process is killed at any moment keeps whole values, and all that was returned.

Run as a program (`... FOLDER SEED`), this file is the process that gets killed.
"""

import random
import subprocess
import sys
from pathlib import Path

from cache import BlockCache, Opening
from cache.check import find_contradictions
from cache.store import Store

LIMIT_BYTES = 8 * 1024 * 1024
BATCH_COUNT = 4
BOOT_ID = "one boot"
VIEW = "home"


def chunk_id(seed: int, batch: int, index: int) -> bytes:
    return b"%08d%012d%012d" % (seed, batch, index)


def content(identity: bytes) -> bytes:
    """Return what is put under `identity`: 1 byte to 300 KiB, told by the identity."""
    length = 1 + int(identity) * 7919 % (300 * 1024)
    return (identity * (length // 32 + 1))[:length]


def write_until_killed(folder: Path, seed: int) -> None:
    """Put batches; print the number of each once `put_many` has returned."""
    cache = BlockCache.open(folder, device_key=bytes(32), limit_bytes=LIMIT_BYTES, boot_id=BOOT_ID)
    batch = 0
    while True:
        ids = [chunk_id(seed, batch, index) for index in range(BATCH_COUNT)]
        cache.put_many(VIEW, [(one, content(one)) for one in ids])
        cache.pin(VIEW, ids[:1] if batch % 16 == 0 else [])
        cache.put_value(VIEW, b"latest", b"%d" % batch)
        cache.get(VIEW, ids[0])
        if batch % 5 == 0:
            cache.maintain()
        print(batch, flush=True)
        batch += 1


def test_a_killed_writer_leaves_whole_values_only(tmp_path: Path) -> None:
    moments = random.Random(20)
    for seed in range(1, 7):
        with subprocess.Popen(
            [sys.executable, __file__, str(tmp_path), str(seed)],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(Path(__file__).parents[2])},
        ) as process:
            try:
                assert process.stdout is not None
                acknowledged = -1
                for _ in range(moments.randrange(1, 40)):
                    acknowledged = int(process.stdout.readline())
            finally:
                process.kill()
        cache = BlockCache.open(
            tmp_path, device_key=bytes(32), limit_bytes=LIMIT_BYTES, boot_id=BOOT_ID
        )
        assert cache.opening is Opening.RESUMED_AFTER_CRASH

        here = 0
        for batch in range(acknowledged + 3):
            for index in range(BATCH_COUNT):
                identity = chunk_id(seed, batch, index)
                got = cache.get(VIEW, identity)
                assert got in (None, content(identity))
                here += got is not None
        assert here >= BATCH_COUNT
        newest = chunk_id(seed, acknowledged, 0)
        assert cache.get(VIEW, newest) == content(newest)
        latest = cache.get_value(VIEW, b"latest")
        assert latest is not None
        assert int(latest) >= acknowledged
        assert cache.stats().damaged_count == 0
        cache.maintain()
        cache._folder.close()
        store = Store.open(tmp_path, map_bytes=2 * LIMIT_BYTES)
        assert find_contradictions(store) == []
        store.close()


if __name__ == "__main__":
    write_until_killed(Path(sys.argv[1]), int(sys.argv[2]))
