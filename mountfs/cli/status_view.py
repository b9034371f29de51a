"""A mount's status as a person sees it."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from mountfs.app.status import MountStatus
from mountfs.cli.sizes import rate_text, size_text

LINES_MAX = 10


def status_view(statuses: Sequence[MountStatus]) -> RenderableType:
    """Return all of `statuses`, one panel each."""
    if not statuses:
        return "nothing is mounted"
    return Group(*(_panel(status) for status in statuses))


def _panel(status: MountStatus) -> Panel:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column()
    facts.add_row("server", "[green]online[/]" if status.online else "[red]out of reach[/]")
    facts.add_row("to send", _queue_text(status))
    moved = status.transfers
    facts.add_row(
        "sent", f"{size_text(moved.bytes_up)} up ({rate_text(moved.rate_up_bps)}), "
        f"{size_text(moved.bytes_down)} down ({rate_text(moved.rate_down_bps)})",
    )  # fmt: skip
    facts.add_row(
        "saved", f"{size_text(moved.saved_by_delta_bytes)} by deltas, "
        f"{size_text(moved.saved_by_dedup_bytes)} known already, "
        f"{size_text(moved.saved_by_compression_bytes)} by compression",
    )  # fmt: skip
    cache = status.cache
    asked = cache.hits + cache.misses
    hit_text = f", {100 * cache.hits / asked:.0f} % hits" if asked else ""
    facts.add_row(
        "cache", f"{size_text(cache.used_bytes)} of {size_text(cache.limit_bytes)}{hit_text}"
    )
    facts.add_row("memory", size_text(status.memory.anonymous_bytes))
    parts: list[RenderableType] = [facts]
    for parked in status.parked[:LINES_MAX]:
        parts.append(f"[red]refused[/]   {escape(parked.path)}: {escape(parked.reason)}")
    if status.conflicts_count:
        parts.append(
            f"[yellow]conflicts[/] {status.conflicts_count}: `mountfs conflicts` lists them"
        )
    for conflict in status.conflicts[:LINES_MAX]:
        parts.append(
            f"[yellow]conflict[/]  what {escape(conflict.device)} wrote is in "
            f"{escape(conflict.path)}"
        )
    for recovered in status.recovered[:LINES_MAX]:
        parts.append(
            f"[yellow]recovered[/] what could not stay in {escape(recovered.path)} "
            f"is in {escape(recovered.copy)}"
        )
    for happening in status.recent[:LINES_MAX]:
        at = datetime.fromtimestamp(happening.at).strftime("%H:%M:%S")
        parts.append(f"[dim]{at}[/]  {escape(happening.what):<9} {escape(happening.path)}")
    title = f"{escape(status.mount_point)} · {escape(status.drive)}"
    return Panel(Group(*parts), title=title, title_align="left")


def _queue_text(status: MountStatus) -> str:
    if status.queue.is_empty:
        return "nothing: the server has everything"
    return f"{status.queue.operations} changes, {size_text(status.queue.dirty_bytes)}"
