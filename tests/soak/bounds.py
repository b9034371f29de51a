"""What each measurement may be, and why. Sizes in bytes.

Names are "WHO WHAT"; what is measured behind each round, when everything is sent, and as "peak"
while work goes on.
"""

from collections.abc import Mapping
from typing import Final

from soak.growth import Bound

MIB: Final = 1 << 20
CACHE_BYTES: Final = 64 * MIB
KEPT_S: Final = 20.0
"""So long the server keeps entries of the journal in a soak."""
_OPERATIONS_PER_S_MAX: Final = 3_000

# Measured: 190 KB for each 1,000 operations of a daemon, by caches of a bounded number of things
# that are still filling (of manifests, 20 MB behind some 120,000 operations), and steps of up to
# 14 MB at the busiest moment so far: up to 32 MiB of freed memory are kept for the next request
# (`process_tuning`). So a day shows leaks of a KB an operation, five days those of 160 bytes.
_MEMORY: Final = {"growth": MIB / 4, "slack": 24.0 * MIB}

MOUNT: Final[Mapping[str, Bound]] = {
    "memory": Bound("the issue's bound for a daemon", ceiling=300 * MIB),
    "peak memory": Bound("the issue's bound for a daemon", ceiling=300 * MIB),
    "own memory": Bound("the tree does not grow", ceiling=250 * MIB, **_MEMORY),
    "descriptors": Bound("16 connections, 256 staging files at most", 60, growth=0.1, slack=8),
    "peak descriptors": Bound("as above, all in use", 330),
    "threads": Bound("trio keeps idle threads for ten seconds", 40, growth=0.1, slack=8),
    "peak threads": Bound("trio's limit for each kind, and those of the invalidator", 64),
    "staging": Bound("everything is sent", 0),
    "peak staging": Bound("what waits for the server", 20 << 30),
    "state.db": Bound(
        "freed pages are used again; the most is what a burst needed",
        64 * MIB, growth=MIB / 8, slack=4 * MIB,
    ),
    "write-ahead log": Bound(
        "checkpointed behind every 4,000 pages, and by the transaction that a reset is",
        64 * MIB, growth=MIB / 8, slack=4 * MIB,
    ),
    "cache of its limit": Bound("--cache-size", 1.0),
    "cache folder": Bound(
        "pages that are freed while readers hold older ones",
        2 * CACHE_BYTES, growth=MIB, slack=8 * MIB,
    ),
    "logs": Bound("four files of 4 MiB", 17 * MIB),
    "queue": Bound("everything is sent", 0),
    "parked": Bound("the server refuses nothing", 0),
    "conflict copies": Bound("whoever works there removes all but eight", 64, growth=1, slack=16),
    "inodes": Bound("the tree does not grow", 6_000, growth=20, slack=300),
    "open files": Bound("no program has one open", 0),
    "files without a name": Bound("no program has one open", 0),
}  # fmt: skip

SERVER: Final[Mapping[str, Bound]] = {
    "memory": Bound("two devices", ceiling=400 * MIB),
    "peak memory": Bound("two devices, bodies of 16 MiB", ceiling=500 * MIB),
    "own memory": Bound(
        # 225 MiB from 20,000 to 85,000 operations, then 243: steps, not a slope.
        "rows live in the database; freed memory is kept, so that it has what the busiest moment "
        "needed", ceiling=350 * MIB, growth=MIB / 4, slack=32 * MIB,
    ),
    "descriptors": Bound("17 connections a device, the database", 100, growth=0.1, slack=8),
    "peak descriptors": Bound("as above, and objects that are written", 200),
    "threads": Bound("pools of fixed size", 60, growth=0.1, slack=4),
    "metadata.db": Bound("history: rows, and contents of up to 64 KiB", growth=4 * MIB),
    "write-ahead log": Bound(
        "checkpointed while it is small", 64 * MIB, growth=MIB / 4, slack=8 * MIB
    ),
    "stored of written": Bound("history: each written byte once, and its rows", 1.2),
    "uploads": Bound(
        "commits end them, the reaper the rest within an hour", 200, growth=1, slack=20
    ),
    "upload chunks": Bound("as uploads", 2_000, growth=20, slack=200),
    "answers": Bound("devices say what they have read", 4_000, growth=20, slack=1_000),
    "journal": Bound("compacted", KEPT_S * 2 * _OPERATIONS_PER_S_MAX),
    "tombstones": Bound("compacted", KEPT_S * 2 * _OPERATIONS_PER_S_MAX),
}  # fmt: skip


def bounds_of(mounts: list[str]) -> dict[str, Bound]:
    """Return all bounds by the full names of what they bound."""
    found = {f"server {what}": bound for what, bound in SERVER.items()}
    for mount in mounts:
        found |= {f"{mount} {what}": bound for what, bound in MOUNT.items()}
    return found
