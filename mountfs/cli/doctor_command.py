"""`mountfs doctor`."""

from typing import Annotated

import typer

from mountfs import config
from mountfs.cli.failing import command
from mountfs.cli.options import JsonOption, StateOption


@command
def doctor(
    json: JsonOption = False,
    allow_other: Annotated[
        bool, typer.Option("--allow-other", help="Also check what that option of mount needs.")
    ] = False,
    state: StateOption = None,
) -> int | None:
    """Check this machine and the server, and name each remedy.

    Exit code 1 if something is wrong. Example: mountfs doctor
    """
    import functools

    import msgspec
    import trio

    from mountfs.app.doctor import examine
    from mountfs.app.state_folder import StateFolder

    checks = trio.run(
        functools.partial(
            examine, StateFolder(config.state_folder(state)), wants_allow_other=allow_other
        )
    )
    is_well = all(check.ok for check in checks)
    if json:
        typer.echo(msgspec.json.encode({"ok": is_well, "checks": checks}).decode())
        return 0 if is_well else 1
    for check in checks:
        mark = "ok  " if check.ok else "FAIL"
        typer.echo(f"{mark}  {check.name:<13} {check.detail}")
        if check.remedy:
            typer.echo(f"      {'':<13} → {check.remedy}")
    return 0 if is_well else 1
