"""What a check found: as JSON for programs, as text for people, and its progress on a terminal."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from backend_server.domain.findings import FindingKind, remedies_of
from backend_server.maintenance.check.report import CheckProgress, CheckReport, NoProgress

SHOWN_OF_A_KIND_MAX: Final = 10


def report_json(report: CheckReport, data: Path) -> str:
    """Return the report as one line of JSON. Pure."""
    return json.dumps(
        {
            "data": str(data),
            "is_clean": report.left_count == 0,
            "found": {kind.value: count for kind, count in report.found.items()},
            "repaired": {kind.value: count for kind, count in report.repaired.items()},
            "findings": [
                {
                    "kind": finding.kind.value,
                    "drive_id": finding.drive_id,
                    "subject": finding.subject,
                    "sentence": finding.sentence,
                    "is_repairable": finding.is_repairable,
                }
                for finding in report.findings
            ],
            "awaited_chunks": report.awaited_count,
            "young_objects": report.young_count,
            "remedies": remedies_of(_kinds_left(report)),
        }
    )


def print_report(report: CheckReport, data: Path, console: Console) -> None:
    """Print findings, counts by kind and what to do next."""
    shown: dict[FindingKind, int] = {}
    for finding in report.findings:
        shown[finding.kind] = shown.get(finding.kind, 0) + 1
        if shown[finding.kind] <= SHOWN_OF_A_KIND_MAX:
            console.print(f"{finding.kind}: {finding.sentence}", markup=False)
    if report.found:
        table = Table("kind", "found", "repaired")
        for kind, count in report.found.items():
            table.add_row(kind.value, str(count), str(report.repaired[kind]))
        console.print(table)
    if report.awaited_count:
        console.print(
            f"{report.awaited_count} chunks are lost: what they belong to cannot be read until a "
            "device that still has them brings them back, which it does by itself.",
            markup=False,
        )
    if report.young_count:
        console.print(
            f"{report.young_count} objects belong to no chunk, or not yet: they are too young to "
            "tell, and were left alone.",
            markup=False,
        )
    if not report.found:
        console.print(f"{data} is in order.", markup=False)
    elif not report.left_count:
        console.print("Everything that was found is repaired. Start the server.", markup=False)
    else:
        console.print("What to do:", markup=False)
        for remedy in remedies_of(_kinds_left(report)):
            console.print(f"  {remedy}", markup=False)


@contextmanager
def shown_progress(console: Console) -> Iterator[CheckProgress]:
    """Show how far the check is, if `console` is a terminal."""
    if not console.is_terminal:
        yield NoProgress()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield _ShownProgress(progress)


class _ShownProgress:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: Any = progress.add_task("checking", total=None)

    def begin(self, what: str) -> None:
        self._progress.reset(self._task, total=None, description=f"checking {what}:")

    def advance(self, count: int) -> None:
        self._progress.advance(self._task, count)


def _kinds_left(report: CheckReport) -> list[FindingKind]:
    return [kind for kind, count in report.found.items() if count > report.repaired[kind]]
