"""How much each workload does. The marks are about FULL; QUICK only shows that all of it runs."""

from dataclasses import dataclass
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass(frozen=True)
class Sizes:
    large_bytes: int
    random_read_count: int
    small_count: int
    source_count: int
    transaction_count: int
    overwritten_bytes: int
    rewritten_bytes: int
    save_count: int
    streamed_bytes: int


FULL: Final = Sizes(
    large_bytes=256 * MIB,
    random_read_count=8_000,
    small_count=1_000,
    source_count=1_000,
    transaction_count=500,
    overwritten_bytes=256 * MIB,
    rewritten_bytes=64 * MIB,
    save_count=40,
    streamed_bytes=1024 * MIB,
)
QUICK: Final = Sizes(
    large_bytes=16 * MIB,
    random_read_count=500,
    small_count=100,
    source_count=100,
    transaction_count=50,
    overwritten_bytes=8 * MIB,
    rewritten_bytes=4 * MIB,
    save_count=5,
    streamed_bytes=64 * MIB,
)
SMALL_FILE_BYTES: Final = 8 * KIB
RANDOM_READ_BYTES: Final = 4 * KIB
EDIT_BYTES: Final = KIB
