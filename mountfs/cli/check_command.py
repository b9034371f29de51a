"""`mountfs check`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mountfs import config
from mountfs.cli.failing import command
from mountfs.cli.options import JsonOption, StateOption

if TYPE_CHECKING:
    from mountfs.app.check import Checked


@command
def check(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Where the drive was mounted [default: --state]."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Compare nothing with the server.")
    ] = False,
    json: JsonOption = False,
    state: StateOption = None,
) -> int | None:
    """Look for what was damaged in this device's state, while it is not mounted.

    Looks at the database, the bytes that the server does not have yet, the mirror of the drive's
    tree (also against the server, if it answers) and the cache. Changes nothing. Exit code 1 if
    something is wrong.

    Examples: mountfs umount ~/Drive && mountfs check ~/Drive · mountfs check --quick --json
    """
    import trio

    from mountfs.app.check import CheckPlan, check_device, find_state, keep_mounts_away
    from mountfs.fuse.mounting import resolve_mount_point

    mount_point = None if folder is None else resolve_mount_point(folder)
    state_folder = find_state(mount_point, config.state_folder(state))
    plan = CheckPlan(state_folder, is_quick=quick)
    with keep_mounts_away(state_folder), _Progress(is_quiet=json) as told:
        checked = trio.run(check_device, plan, told)
    _print(checked, json=json)
    return 1 if checked.findings else 0


def _print(checked: "Checked", *, json: bool) -> None:
    if json:
        import msgspec

        answer = {
            "ok": not checked.findings,
            "findings": checked.findings,
            "notes": checked.notes,
        }
        typer.echo(msgspec.json.encode(answer).decode())
        return
    for note in checked.notes:
        typer.echo(f"note: {note}", err=True)
    for finding in checked.findings:
        typer.echo(f"{finding.place}: {finding.sentence}")
    if not checked.findings:
        typer.echo("nothing is wrong")


class _Progress:
    """Shows on a terminal what is looked at; silent elsewhere. Calls may come from any thread."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_shown = sys.stderr.isatty() and not is_quiet
        self._width = 0

    def __enter__(self) -> "_Progress":
        return self

    def __call__(self, what: str) -> None:
        if self._is_shown:
            text = f"checking {what}"
            typer.echo(f"\r{text:<{self._width}}", nl=False, err=True)
            self._width = len(text)

    def __exit__(self, *_: object) -> None:
        if self._width:
            typer.echo(f"\r{'':<{self._width}}\r", nl=False, err=True)
