"""`mountfs status`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mountfs import config
from mountfs.cli.failing import command
from mountfs.cli.options import JsonOption, StateOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mountfs.app.registry import RunningMount
    from mountfs.app.status import MountStatus

REFRESH_S = 0.5


@command
def status(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="One mount [default: all of yours].")
    ] = None,
    json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing, until Ctrl-C.")] = False,
    state: StateOption = None,
) -> int | None:
    """Show how your mounts are: online, what is queued, refused, cached and transferred.

    `--json` prints one object for DIR, a list without. Example: mountfs status --watch ~/Drive
    """
    from mountfs.app.control_client import find_running
    from mountfs.app.registry import Registry
    from mountfs.fuse.mounting import resolve_mount_point

    if folder is not None:
        mounts = [find_running(resolve_mount_point(folder))]
    else:
        mounts = Registry().all()
        if state is not None:
            wanted = str(config.state_folder(state))
            mounts = [mount for mount in mounts if mount.state_folder == wanted]
    if watch:
        return _watch([mount.mount_point for mount in mounts])
    found = _ask(mounts, is_strict=folder is not None)
    if json:
        import msgspec

        answer: object = found[0] if folder is not None else found
        typer.echo(msgspec.json.encode(answer).decode())
    elif not found:
        typer.echo("nothing is mounted")
    else:
        from rich.console import Console

        from mountfs.cli.status_view import status_view

        Console(highlight=False).print(status_view(found))
    return None


def _ask(mounts: "Sequence[RunningMount]", *, is_strict: bool) -> "list[MountStatus]":
    """Return how `mounts` are; one whose process has ended raises if `is_strict`, else is left."""
    from mountfs.app.control_client import NotServed, ask_status

    found = []
    for mount in mounts:
        try:
            found.append(ask_status(mount))
        except NotServed:
            if is_strict:
                raise
    return found


def _watch(mount_points: list[str]) -> int:
    from rich.console import Console
    from rich.live import Live

    from mountfs.app.registry import Registry
    from mountfs.cli.status_view import status_view

    wanted = set(mount_points)
    console = Console(highlight=False)
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                mounts = [mount for mount in Registry().all() if mount.mount_point in wanted]
                live.update(status_view(_ask(mounts, is_strict=False)), refresh=True)
                time.sleep(REFRESH_S)
    except KeyboardInterrupt:
        return 0
