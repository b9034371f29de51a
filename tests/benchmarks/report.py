"""What a run found, as values and as JSON. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.figures import FIGURES, Column, Figure
from benchmarks.marks import Mark, mark_of
from benchmarks.summaries import median


@dataclass
class Report:
    """Samples by figure and column, in the order of the rounds; what failed, in words.

    `conditions` is what a reader must know of the machine and the run. `has_marks` is off when
    the sizes are not those that the marks are about. `others_share` is how much of the CPU went
    to processes of others, by workload and column, a round after the other.
    """

    has_marks: bool = True
    conditions: dict[str, Any] = field(default_factory=dict)
    samples: dict[tuple[Figure, Column], list[float]] = field(default_factory=dict)
    others_share: dict[tuple[str, Column], list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, column: Column, found: Mapping[Figure, float]) -> None:
        for figure, value in found.items():
            self.samples.setdefault((figure, column), []).append(value)

    def value(self, figure: Figure, column: Column) -> float | None:
        """Return the median, or None where it was not measured."""
        found = self.samples.get((figure, column))
        return median(found) if found else None

    def mark(self, figure: Figure, column: Column) -> Mark | None:
        return mark_of(figure, column) if self.has_marks else None

    def is_reached(self, figure: Figure, column: Column) -> bool | None:
        """Return whether the mark is reached; None where there is no mark or no value."""
        value, mark = self.value(figure, column), self.mark(figure, column)
        if value is None or mark is None:
            return None
        return mark.is_reached(value, figure.unit)

    def figures(self) -> list[Figure]:
        """Return what was measured anywhere, in the order of the table."""
        measured = {figure for figure, _ in self.samples}
        return [figure for figure in FIGURES if figure in measured]

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data; field names are stable."""
        return {
            "conditions": self.conditions,
            "figures": [
                {
                    "key": figure.key,
                    "title": _full_title(figure),
                    "unit": figure.unit.value,
                    "columns": {
                        column.value: self._cell(figure, column)
                        for column in Column
                        if (figure, column) in self.samples
                    },
                }
                for figure in self.figures()
            ],
            "others": [
                {"workload": workload, "column": column.value, "cpu_shares": shares}
                for (workload, column), shares in self.others_share.items()
            ],
            "failures": self.failures,
        }

    def _cell(self, figure: Figure, column: Column) -> dict[str, Any]:
        cell: dict[str, Any] = {
            "median": self.value(figure, column),
            "samples": self.samples[figure, column],
        }
        if mark := self.mark(figure, column):
            cell |= {
                "mark": mark.value,
                "why": mark.why,
                "is_reached": self.is_reached(figure, column),
            }
        return cell


def _full_title(figure: Figure) -> str:
    """Return the title with what a continued row (`… `) continues."""
    title = figure.title
    if title.startswith("  … "):
        above = next(
            one.title
            for one in reversed(FIGURES[: FIGURES.index(figure)])
            if not one.title.startswith("  … ")
        )
        title = f"{above} {title.strip()}"
    return title
