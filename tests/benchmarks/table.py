"""A report as a table of text. Pure."""

from typing import Final

from benchmarks.figures import Column, Unit
from benchmarks.report import Report

REACHED: Final = "yes"
MISSED: Final = "NO"
_ABSENT: Final = "–"


def number_text(value: float, unit: Unit) -> str:
    """Return `value` with as many digits as mean something. Pure."""
    if unit is Unit.BYTES or abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:,.1f}"
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:,.3f}"


def render(report: Report) -> str:
    """Return one line a figure: each column's median, its mark, and whether that is reached."""
    columns = [
        column
        for column in Column
        if any((figure, column) in report.samples for figure in report.figures())
    ]
    head = ["workload", "unit"]
    for column in columns:
        head += [column.value] if column is Column.PLAIN else [column.value, "mark", "reached"]
    lines = [head]
    for figure in report.figures():
        line = [figure.title, figure.unit.value]
        for column in columns:
            value = report.value(figure, column)
            line.append(_ABSENT if value is None else number_text(value, figure.unit))
            if column is not Column.PLAIN:
                mark, is_reached = report.mark(figure, column), report.is_reached(figure, column)
                line.append(number_text(mark.value, figure.unit) if mark else "")
                line.append("" if is_reached is None else REACHED if is_reached else MISSED)
        lines.append(line)
    return "\n".join(_aligned(lines))


def _aligned(lines: list[list[str]]) -> list[str]:
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    texts = []
    for line in lines:
        # Words to the left, numbers to the right.
        cells = [
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        texts.append("  ".join(cells).rstrip())
    texts.insert(1, "  ".join("-" * width for width in widths))
    return texts
