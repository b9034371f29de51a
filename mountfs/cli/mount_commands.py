"""`mountfs mount`, `umount`, `sync`."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mountfs import config
from mountfs.cli.failing import command, complain
from mountfs.cli.options import JsonOption, MountPointArgument, StateOption
from mountfs.cli.sizes import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from mountfs.app.control_messages import Done, Progress

STAGING_SIZE_BYTES_MIN: Final = 16 << 20


class Consistency(StrEnum):
    PUSH = "push"
    CLOSE_TO_OPEN = "close-to-open"


@command
def mount(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An empty folder.")],
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay here, and log to stderr.")
    ] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse every change.")] = False,
    allow_other: Annotated[
        bool, typer.Option("--allow-other", help="Let other users of this machine in.")
    ] = False,
    drive: Annotated[
        str | None, typer.Option("--drive", metavar="NAME", help="[default: your home drive]")
    ] = None,
    cache_size: Annotated[
        str, typer.Option("--cache-size", metavar="SIZE", help="Clean bytes kept here.")
    ] = "10GiB",
    staging_size: Annotated[
        str,
        typer.Option(
            "--staging-size", metavar="SIZE", help="Written bytes that may wait for the server."
        ),
    ] = "20GiB",
    consistency: Annotated[
        Consistency,
        typer.Option(help="close-to-open: each open first asks the server for news."),
    ] = Consistency.PUSH,
    xattrs: Annotated[
        bool,
        typer.Option("--xattrs", help="Keep user.* extended attributes; small writes get slower."),
    ] = False,
    no_merge: Annotated[
        bool,
        typer.Option("--no-merge", help="Keep both versions of a text that two devices edited."),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more.")] = False,
    state: StateOption = None,
) -> int | None:
    """Show a drive as a folder.

    Returns when programs can use it; `--foreground` returns when it is unmounted.

    Examples: mountfs mount ~/Drive · mountfs mount --drive Team --read-only /mnt/team
    """
    from mountfs.app.start_mount import MountPlan, start_mount
    from mountfs.app.state_folder import StateFolder

    plan = MountPlan(
        state=StateFolder(config.state_folder(state)),
        mount_point=folder,
        drive=drive,
        is_read_only=read_only,
        allow_other=allow_other,
        cache_size_bytes=_size(cache_size, "--cache-size"),
        staging_size_bytes=_staging_size(staging_size),
        is_close_to_open=consistency is Consistency.CLOSE_TO_OPEN,
        has_xattrs=xattrs,
        is_merging=not no_merge,
        is_verbose=verbose,
    )
    return start_mount(plan, in_foreground=foreground)


@command
def umount(
    folder: MountPointArgument,
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait: leave the rest queued for the next mount.")
    ] = False,
    json: JsonOption = False,
) -> int | None:
    """Unmount, once the server has everything.

    Refused while programs use the folder. What the server refused is listed (exit code 1), and
    the drive stays mounted; `--now` unmounts and keeps it here.

    Example: mountfs umount ~/Drive
    """
    from mountfs.app.control_client import NotServed, ask_stop, find_running
    from mountfs.app.failures import exit_code_of, message_of
    from mountfs.errors import Unavailable
    from mountfs.fuse.mounting import resolve_mount_point

    mount_point = resolve_mount_point(folder)
    os.chdir("/")  # from inside the drive, this command would itself be in its way
    try:
        running = find_running(mount_point)
        with _progress("unmounting", is_quiet=json) as on_progress:
            done = ask_stop(running, now=now, on_progress=on_progress)
    except NotServed:
        if _remove_stale(mount_point):
            return 0
        raise
    except Unavailable as error:
        complain(
            message_of(error),
            "try again later; or `mountfs umount --now`, which keeps them for the next mount",
        )
        return exit_code_of(error)
    return _report(done, json=json)


@command
def sync(folder: MountPointArgument, json: JsonOption = False) -> int | None:
    """Return when the server has everything written so far.

    What the server refused is listed, with exit code 1.

    Example: make && mountfs sync ~/Drive
    """
    from mountfs.app.control_client import ask_sync, find_running
    from mountfs.fuse.mounting import resolve_mount_point

    running = find_running(resolve_mount_point(folder))
    with _progress("syncing", is_quiet=json) as on_progress:
        done = ask_sync(running, on_progress)
    return _report(done, json=json)


def _size(text: str, option: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _staging_size(text: str) -> int:
    size_bytes = _size(text, "--staging-size")
    if size_bytes < STAGING_SIZE_BYTES_MIN:
        raise typer.BadParameter(
            "less than 16MiB would make programs wait for every file",
            param_hint="--staging-size",
        )
    return size_bytes


class _progress:  # noqa: N801 - used as a function
    """Shows on a terminal what is still to be sent; silent elsewhere."""

    def __init__(self, what: str, *, is_quiet: bool) -> None:
        import sys

        self._what = what
        self._is_shown = sys.stderr.isatty() and not is_quiet
        self._width = 0

    def __enter__(self) -> "Callable[[Progress], None]":
        return self._show

    def _show(self, progress: "Progress") -> None:
        if not self._is_shown:
            return
        from mountfs.cli.sizes import size_text

        queue = progress.queue
        text = f"{self._what}: {queue.operations} changes, {size_text(queue.dirty_bytes)} to go"
        if not progress.online:
            text += ", waiting for the server"
        typer.echo(f"\r{text:<{self._width}}", nl=False, err=True)
        self._width = len(text)

    def __exit__(self, *_: object) -> None:
        if self._width:
            typer.echo(f"\r{'':<{self._width}}\r", nl=False, err=True)


def _report(done: "Done", *, json: bool) -> int:
    if json:
        import msgspec

        typer.echo(msgspec.json.encode(done).decode())
    for parked in done.parked:
        complain(f"the server refused {parked.path}: {parked.reason}")
    if not done.left.is_empty and not json:
        typer.echo(f"{done.left.operations} changes stay queued for the next mount", err=True)
    return 1 if done.parked else 0


def _remove_stale(mount_point: Path) -> bool:
    """Unmount what a killed process left. Returns whether there was such a thing."""
    from mountfs.fuse.mount_table import find_mount
    from mountfs.fuse.mounting import KIND, is_stale, unmount

    mounted = find_mount(mount_point)
    if mounted is None or mounted.kind != KIND or is_stale(mount_point) is False:
        return False
    unmount(mount_point, lazily=True)
    return True
