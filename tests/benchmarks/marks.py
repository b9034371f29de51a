"""What mountfs is to reach, and whose figure that is.

Over loopback: the best of rclone, sshfs, JuiceFS and S3QL with the same workloads on 2 cores that
client, server and program share. Where the best one did no real fsync, the mark is lower and says
so. Through the 50 ms / 100 Mbit/s link the marks are our own, far above the best of them.
"""

from dataclasses import dataclass
from typing import Final

from benchmarks import figures
from benchmarks.figures import Column, Figure, Unit


@dataclass(frozen=True)
class Mark:
    """`value` in the figure's unit: the least where more is better, else the most."""

    value: float
    why: str

    def is_reached(self, value: float, unit: Unit) -> bool:
        """Pure."""
        return value >= self.value if unit.is_more_better else value <= self.value


_LOOPBACK: Final = {
    figures.WRITE_RETURN: Mark(450, "S3QL has 836 with an fsync that does nothing"),
    figures.WRITE_DURABLE: Mark(202, "best of the others"),
    figures.READ_COLD: Mark(517, "best of the others"),
    figures.READ_CACHE: Mark(823, "best of the others"),
    figures.READ_PAGES: Mark(3000, "our own: pages that the kernel has cost nobody a request"),
    figures.RANDOM_READS: Mark(6000, "our own; the best of the others: 5,300"),
    figures.CREATE_RETURN: Mark(2000, "our own; the best of the others: 929"),
    figures.CREATE_DURABLE: Mark(1000, "our own; the best of the others: 440"),
    figures.SMALL_COLD: Mark(671, "best of the others"),
    figures.UNTAR_RETURN: Mark(0.6, "our own; the best of the others: 1.07"),
    figures.GIT_COMMIT: Mark(1.2, "our own; the best of the others: 1.8"),
    figures.TRANSACTIONS: Mark(300, "the best of the others has 390 without a real fsync"),
    figures.VISIBLE_P50: Mark(0.3, "DESIGN: p50"),
    figures.VISIBLE_P99: Mark(1.0, "DESIGN: p99 on a LAN"),
    figures.GONE_P99: Mark(1.0, "as what is saved; 0.4 s wait for a file of the same name"),
}
_WAN: Final = {
    figures.WRITE_DURABLE: Mark(11, "the link carries 12.5; the others 10–11"),
    figures.READ_COLD: Mark(11.25, "nine tenths of the link; the others 10–11"),
    figures.GREP_COLD: Mark(3, "our own: whole folders at once"),
    figures.CREATE_RETURN: Mark(1000, "the best of the others: 16"),
    figures.CREATE_DURABLE: Mark(300, "the best of the others: 10"),
    figures.STAT_COLD: Mark(138, "best of the others"),
    figures.SMALL_COLD: Mark(300, "the best of the others: 16"),
    figures.UNLINK_RETURN: Mark(15, "best of the others"),
}
_EITHER_LINK: Final = {
    figures.OVERWRITE_UP: Mark(4_000, "at most 4 KB"),
    figures.INSERT_UP: Mark(100_000, "at most 100 KB; the best of the others: 67 MB"),
    figures.RESAVE_BODIES: Mark(1_000, "under 1 KB of content"),
    figures.COPY_BODIES: Mark(1_000, "under 1 KB of content"),
    figures.WRITE_RSS: Mark(200, "a 1 GiB file streaming through"),
    figures.READ_RSS: Mark(200, "a 1 GiB file streaming through"),
}
OF_COLUMN: Final[dict[Column, dict[Figure, Mark]]] = {
    Column.PLAIN: {},
    Column.LOOPBACK: _LOOPBACK | _EITHER_LINK,
    Column.WAN: _WAN | _EITHER_LINK,
}


def mark_of(figure: Figure, column: Column) -> Mark | None:
    """Return what `figure` is to reach in `column`, if anything. Pure."""
    return OF_COLUMN[column].get(figure)
