"""What the live view shows, taken from what the mount and the server say. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mountfs.app.status import Happening, MountStatus

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, slots=True)
class ServerFigures:
    """What the server counted since it started."""

    requests: int = 0
    body_bytes_in: int = 0
    body_bytes_out: int = 0
    polls_waiting: int = 0


def parse_metrics(text: str) -> ServerFigures:
    """Return the figures in `text`, which is Prometheus' format; absent ones are 0. Pure."""
    sums: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, _, value = line.rpartition(" ")
        try:
            number = float(value)
        except ValueError:
            continue
        family, _, labels = name.partition("{")
        if 'direction="' in labels:
            family += ":" + labels.split('direction="')[1].split('"')[0]
        sums[family] = sums.get(family, 0.0) + number
    return ServerFigures(
        requests=int(sums.get("mountfs_http_requests_total", 0)),
        body_bytes_in=int(sums.get("mountfs_http_body_bytes_total:in", 0)),
        body_bytes_out=int(sums.get("mountfs_http_body_bytes_total:out", 0)),
        polls_waiting=int(sums.get("mountfs_polls_waiting", 0)),
    )


def format_bytes(count: float) -> str:
    """Return `count` as a person reads it: three digits and a unit. Pure."""
    unit = 0
    while abs(count) >= 1000 and unit < len(_UNITS) - 1:
        count /= 1024
        unit += 1
    digits = 0 if unit == 0 or count >= 100 else 1
    return f"{count:.{digits}f} {_UNITS[unit]}"


def format_rate(bits_per_second: float) -> str:
    """Return a rate as a person reads it. Pure."""
    return f"{format_bytes(bits_per_second / 8)}/s" if bits_per_second >= 8 else "–"


def printable(name: str) -> str:
    """Return `name` without what would steer a terminal or cannot be encoded. Pure."""
    return "".join(character if character.isprintable() else "�" for character in name)


def saved_bytes(status: MountStatus) -> int:
    """Return the bytes that did not travel, in all. Pure."""
    moved = status.transfers
    return (
        moved.saved_by_delta_bytes + moved.saved_by_dedup_bytes + moved.saved_by_compression_bytes
    )


def describe_queue(status: MountStatus) -> str:
    """Return in a few words what the server does not have yet. Pure."""
    if status.queue.is_empty:
        return "empty"
    return f"{status.queue.operations} changes, {format_bytes(status.queue.dirty_bytes)} " + (
        "on their way" if status.online else "waiting for the server"
    )


class NewHappenings:
    """Tells from successive answers which happenings were not there before, oldest first."""

    def __init__(self) -> None:
        self._seen: set[Happening] = set()

    def of(self, status: MountStatus) -> Iterator[Happening]:
        fresh = [happening for happening in status.recent if happening not in self._seen]
        # The mount keeps a bounded number of them, so this set is bounded as well.
        self._seen = set(status.recent)
        return reversed(fresh)
