"""The workloads: each makes its own input, measures, and checks that what it read was right."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.figures import Column, Figure
from benchmarks.sites import Site
from benchmarks.sizes import Sizes
from benchmarks.workloads.close_to_visible import measure_close_to_visible
from benchmarks.workloads.daemon_memory import measure_daemon_memory
from benchmarks.workloads.large_file import measure_large_file
from benchmarks.workloads.small_files import measure_small_files
from benchmarks.workloads.source_files import measure_source_files
from benchmarks.workloads.transactions import measure_transactions
from benchmarks.workloads.wire_bytes import measure_wire_bytes


@dataclass(frozen=True)
class Workload:
    """`measure` returns one sample of each of its figures.

    `rounds_max` bounds the rounds of what is long and hardly varies.
    """

    name: str
    measure: Callable[[Site, Sizes], Mapping[Figure, float]]
    columns: tuple[Column, ...] = tuple(Column)
    rounds_max: int = 100


_ON_DRIVES: Final = (Column.LOOPBACK, Column.WAN)

WORKLOADS: Final = (
    Workload("large-file", measure_large_file),
    Workload("small-files", measure_small_files),
    Workload("source-files", measure_source_files),
    Workload("transactions", measure_transactions),
    Workload("wire-bytes", measure_wire_bytes, _ON_DRIVES, rounds_max=1),
    Workload("close-to-visible", measure_close_to_visible, _ON_DRIVES),
    Workload("daemon-memory", measure_daemon_memory, _ON_DRIVES, rounds_max=1),
)
