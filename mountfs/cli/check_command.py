"""`mountfs check`."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mountfs import config
from mountfs.cli.failing import command
from mountfs.cli.options import JsonOption, StateOption

if TYPE_CHECKING:
    from mountfs.app.check import Checked

REFRESH_S = 0.1

_WORDS = {
    "found": "wrong",
    "repaired": "repaired",
    "set_aside": "set aside",
    "needs_server": "needs server",
    "left": "not repaired",
}


@command
def check(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Where the drive was mounted [default: --state]."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Compare nothing with the server.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair what is found [default: change nothing].")
    ] = False,
    json: JsonOption = False,
    state: StateOption = None,
) -> int | None:
    """Look for what was damaged in this device's state, while it is not mounted.

    Looks at the database, the bytes that the server does not have yet, the mirror of the drive's
    tree (also against the server, if it answers) and the cache. --repair takes from the server
    what it has; bytes that nobody has are lost, and what is left of their file is set aside, where
    `mountfs status` lists it.

    Exit code 0 if nothing is wrong or all was repaired, 1 if not, 3 if the server is needed and
    cannot be reached.

    Examples: mountfs umount ~/Drive && mountfs check ~/Drive · mountfs check --repair ·
    mountfs check --quick --json
    """
    import trio

    from mountfs.app.check import CheckPlan, check_device
    from mountfs.app.check_access import find_state, keep_mounts_away
    from mountfs.core.repair_outcome import exit_code_of
    from mountfs.fuse.mounting import resolve_mount_point

    mount_point = None if folder is None else resolve_mount_point(folder)
    state_folder = find_state(mount_point, config.state_folder(state))
    plan = CheckPlan(state_folder, is_quick=quick, is_repair=repair)
    with keep_mounts_away(state_folder), _Progress(is_quiet=json) as told:
        checked = trio.run(check_device, plan, told)
    _print(checked, json=json)
    return exit_code_of(checked.outcomes)


def _print(checked: "Checked", *, json: bool) -> None:
    if json:
        typer.echo(_as_json(checked))
        return
    for finding, outcome in zip(checked.findings, checked.outcomes, strict=True):
        typer.echo(f"{_WORDS[outcome]:<13}{finding.place}: {finding.sentence}")
    for note in checked.notes:
        typer.echo(f"note         {note}", err=True)
    if not checked.findings:
        typer.echo("nothing is wrong")
    elif "found" in checked.outcomes:
        typer.echo("→ mountfs check --repair", err=True)


def _as_json(checked: "Checked") -> str:
    import msgspec

    from mountfs.core.repair_outcome import exit_code_of

    findings = [
        {
            "kind": finding.kind,
            "place": finding.place,
            "sentence": finding.sentence,
            "repairable": finding.is_repairable,
            "outcome": outcome,
        }
        for finding, outcome in zip(checked.findings, checked.outcomes, strict=True)
    ]
    is_well = exit_code_of(checked.outcomes) == 0
    answer = {"ok": is_well, "findings": findings, "notes": checked.notes}
    return msgspec.json.encode(answer).decode()


class _Progress:
    """Shows on a terminal what is looked at; silent elsewhere. Calls may come from any thread."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_shown = sys.stderr.isatty() and not is_quiet
        self._width = 0
        self._next_at_s = 0.0

    def __enter__(self) -> "_Progress":
        return self

    def __call__(self, what: str) -> None:
        if self._is_shown and time.monotonic() >= self._next_at_s:
            self._next_at_s = time.monotonic() + REFRESH_S
            text = f"checking {what}"
            typer.echo(f"\r{text:<{self._width}}", nl=False, err=True)
            self._width = len(text)

    def __exit__(self, *_: object) -> None:
        if self._width:
            typer.echo(f"\r{'':<{self._width}}\r", nl=False, err=True)
