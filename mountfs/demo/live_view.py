"""The live view on a terminal. Pure: from figures to something that rich can draw."""

import time
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from mountfs.app.status import MountStatus
from mountfs.demo.figures import (
    ServerFigures,
    describe_queue,
    format_bytes,
    format_rate,
    printable,
    saved_bytes,
)

HAPPENINGS_SHOWN: Final = 10
_QUIET: Final = "dim"


def draw(
    status: MountStatus | None, server: ServerFigures, *, url: str, hints: list[str]
) -> RenderableType:
    """Return the whole view."""
    if status is None:
        return Panel("the drive is not mounted any more", title="mountfs demo", style="red")
    return Group(
        Panel(
            _figures(status, server),
            title=f"[bold]mountfs demo[/]  {Path(status.mount_point).name}/  ⇄  {url}",
            subtitle=_connection(status),
            box=box.ROUNDED,
            padding=(0, 1),
        ),
        Panel(
            _happenings(status),
            title="what happens",
            title_align="left",
            box=box.ROUNDED,
            padding=(0, 1),
        ),
        Text("\n".join(hints), style=_QUIET),
    )


def _connection(status: MountStatus) -> Text:
    if not status.online:
        return Text("offline: work goes on, changes wait here", style="bold yellow")
    return Text("online", style="green")


def _figures(status: MountStatus, server: ServerFigures) -> Table:
    moved, cache = status.transfers, status.cache
    table = Table.grid(expand=True, padding=(0, 2))
    for _ in range(3):
        table.add_column(ratio=1)
    table.add_row(
        _pairs(
            ("sent", format_bytes(moved.bytes_up), format_rate(moved.rate_up_bps)),
            ("received", format_bytes(moved.bytes_down), format_rate(moved.rate_down_bps)),
            ("queue", describe_queue(status), ""),
            ("parked", str(len(status.parked) or "none"), ""),
        ),
        _pairs(
            ("not sent, for it was", f"[bold green]{format_bytes(saved_bytes(status))}[/]", ""),
            ("  unchanged (delta)", format_bytes(moved.saved_by_delta_bytes), ""),
            ("  there already (dedup)", format_bytes(moved.saved_by_dedup_bytes), ""),
            ("  compressible", format_bytes(moved.saved_by_compression_bytes), ""),
        ),
        _pairs(
            ("cache", f"{format_bytes(cache.used_bytes)} of {format_bytes(cache.limit_bytes)}", ""),
            ("hits, misses", f"{cache.hits}, {cache.misses}", ""),
            ("memory", format_bytes(status.memory.rss_bytes), ""),
            ("server", f"{server.requests} requests", ""),
        ),
    )
    return table


def _pairs(*rows: tuple[str, str, str]) -> Table:
    table = Table.grid(padding=(0, 1))
    for name, value, more in rows:
        table.add_row(Text(name, style=_QUIET), value, Text(more, style="cyan"))
    return table


def _happenings(status: MountStatus) -> RenderableType:
    if not status.recent:
        return Text("nothing yet: change something in the drive", style=_QUIET)
    table = Table.grid(padding=(0, 2))
    for happening in status.recent[:HAPPENINGS_SHOWN]:
        at = time.strftime("%H:%M:%S", time.localtime(happening.at))
        table.add_row(
            Text(at, style=_QUIET),
            Text(happening.what, style="cyan"),
            Text(printable(happening.path)),
        )
    return table
