"""What is measured: every row of the table, in its order.

A workload hands out samples by `Figure.key`. Rates count in MB = 10^6 bytes.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Column(StrEnum):
    """Where a workload runs."""

    PLAIN = "plain folder"
    LOOPBACK = "loopback"
    WAN = "wan"


class Unit(StrEnum):
    """What a value counts, and with that whether more of it is better."""

    MB_PER_S = "MB/s"
    PER_S = "/s"
    SECONDS = "s"
    BYTES = "B"
    MB = "MB"

    @property
    def is_more_better(self) -> bool:
        return self in (Unit.MB_PER_S, Unit.PER_S)


@dataclass(frozen=True)
class Figure:
    key: str
    title: str
    unit: Unit


WRITE_RETURN: Final = Figure("write.return", "write 256 MiB, fsync: to return", Unit.MB_PER_S)
WRITE_DURABLE: Final = Figure("write.durable", "  … to durable on the server", Unit.MB_PER_S)
READ_COLD: Final = Figure("read.cold", "read 256 MiB: cold, other device", Unit.MB_PER_S)
READ_CACHE: Final = Figure("read.cache", "  … from the disk cache", Unit.MB_PER_S)
READ_PAGES: Final = Figure("read.pages", "  … from the page cache", Unit.MB_PER_S)
RANDOM_READS: Final = Figure("random.cache", "4 KiB random reads, disk cache", Unit.PER_S)

CREATE_RETURN: Final = Figure("create.return", "create 1,000 × 8 KiB: to return", Unit.PER_S)
CREATE_DURABLE: Final = Figure("create.durable", "  … to durable on the server", Unit.PER_S)
STAT_COLD: Final = Figure("stat.cold", "stat them: cold, other device", Unit.PER_S)
STAT_AGAIN: Final = Figure("stat.again", "  … again", Unit.PER_S)
SMALL_COLD: Final = Figure("small.cold", "read them: cold, other device", Unit.PER_S)
SMALL_AGAIN: Final = Figure("small.again", "  … again", Unit.PER_S)
UNLINK_RETURN: Final = Figure("unlink.return", "unlink them: to return", Unit.PER_S)
UNLINK_DURABLE: Final = Figure("unlink.durable", "  … to durable on the server", Unit.PER_S)

UNTAR_RETURN: Final = Figure("untar.return", "untar 1,000 source files: to return", Unit.SECONDS)
UNTAR_DURABLE: Final = Figure("untar.durable", "  … to durable on the server", Unit.SECONDS)
GREP_COLD: Final = Figure("grep.cold", "grep -r in them: cold, other device", Unit.SECONDS)
GREP_AGAIN: Final = Figure("grep.again", "  … again", Unit.SECONDS)
GIT_COMMIT: Final = Figure("git.commit", "git add && commit of them", Unit.SECONDS)
TRANSACTIONS: Final = Figure("sqlite", "SQLite transactions, fsync", Unit.PER_S)

FLOOR_UP: Final = Figure("wire.floor.up", "chmod of a file: up", Unit.BYTES)
FLOOR_BODIES: Final = Figure("wire.floor.bodies", "  … up, bodies without HTTP", Unit.BYTES)
FLOOR_DOWN: Final = Figure("wire.floor.down", "  … down at the other device", Unit.BYTES)
OVERWRITE_UP: Final = Figure("wire.overwrite.up", "1 KiB over in 256 MiB: up", Unit.BYTES)
OVERWRITE_DOWN: Final = Figure("wire.overwrite.down", "  … down at the other device", Unit.BYTES)
INSERT_UP: Final = Figure("wire.insert.up", "1 KiB inserted in 64 MiB: up", Unit.BYTES)
INSERT_DOWN: Final = Figure("wire.insert.down", "  … down at the other device", Unit.BYTES)
APPEND_UP: Final = Figure("wire.append.up", "1 KiB appended to 64 MiB: up", Unit.BYTES)
APPEND_DOWN: Final = Figure("wire.append.down", "  … down at the other device", Unit.BYTES)
RESAVE_UP: Final = Figure("wire.resave.up", "64 MiB saved unchanged: up", Unit.BYTES)
RESAVE_BODIES: Final = Figure("wire.resave.bodies", "  … up, bodies without HTTP", Unit.BYTES)
RESAVE_DOWN: Final = Figure("wire.resave.down", "  … down at the other device", Unit.BYTES)
COPY_UP: Final = Figure("wire.copy.up", "64 MiB copied, other name: up", Unit.BYTES)
COPY_BODIES: Final = Figure("wire.copy.bodies", "  … up, bodies without HTTP", Unit.BYTES)
COPY_DOWN: Final = Figure("wire.copy.down", "  … down at the other device", Unit.BYTES)

VISIBLE_P50: Final = Figure("visible.p50", "close to visible elsewhere, p50", Unit.SECONDS)
VISIBLE_P99: Final = Figure("visible.p99", "  … p99", Unit.SECONDS)
GONE_P50: Final = Figure("gone.p50", "unlink to gone elsewhere, p50", Unit.SECONDS)
GONE_P99: Final = Figure("gone.p99", "  … p99", Unit.SECONDS)

WRITE_RSS: Final = Figure("memory.write.rss", "daemon, 1 GiB going up: VmRSS", Unit.MB)
WRITE_ANON: Final = Figure("memory.write.anon", "  … RssAnon", Unit.MB)
READ_RSS: Final = Figure("memory.read.rss", "daemon, 1 GiB coming down: VmRSS", Unit.MB)
READ_ANON: Final = Figure("memory.read.anon", "  … RssAnon", Unit.MB)

FIGURES: Final = (
    *(WRITE_RETURN, WRITE_DURABLE, READ_COLD, READ_CACHE, READ_PAGES, RANDOM_READS),
    *(CREATE_RETURN, CREATE_DURABLE, STAT_COLD, STAT_AGAIN, SMALL_COLD, SMALL_AGAIN),
    *(UNLINK_RETURN, UNLINK_DURABLE),
    *(UNTAR_RETURN, UNTAR_DURABLE, GREP_COLD, GREP_AGAIN, GIT_COMMIT, TRANSACTIONS),
    *(FLOOR_UP, FLOOR_BODIES, FLOOR_DOWN, OVERWRITE_UP, OVERWRITE_DOWN, INSERT_UP, INSERT_DOWN),
    *(APPEND_UP, APPEND_DOWN, RESAVE_UP, RESAVE_BODIES, RESAVE_DOWN),
    *(COPY_UP, COPY_BODIES, COPY_DOWN),
    *(VISIBLE_P50, VISIBLE_P99, GONE_P50, GONE_P99),
    *(WRITE_RSS, WRITE_ANON, READ_RSS, READ_ANON),
)
FIGURE_OF: Final = {figure.key: figure for figure in FIGURES}
assert len(FIGURE_OF) == len(FIGURES)
