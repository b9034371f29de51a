"""`mountfs login`, `logout`, `devices`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from mountfs import config
from mountfs.cli.failing import command
from mountfs.cli.options import JsonOption, StateOption


@command
def login(
    url: Annotated[str, typer.Argument(help="Address of the server.", metavar="URL")],
    email: Annotated[str, typer.Option("--email", help="Your account.")],
    device: Annotated[
        str | None, typer.Option("--device", help="Name of this device [default: the host's].")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    ca_file: Annotated[
        Path | None,
        typer.Option("--ca-file", metavar="FILE", help="Certificates (PEM) to trust."),
    ] = None,
    state: StateOption = None,
) -> int | None:
    """Make this device one of your account's.

    Example: mountfs login https://drive.example.org --email me@example.org
    """
    password = (
        sys.stdin.readline().rstrip("\n")
        if password_stdin
        else typer.prompt("Password", hide_input=True, err=True)
    )
    import trio

    from mountfs.app import account
    from mountfs.app.state_folder import StateFolder

    async def run() -> str:
        record = await account.log_in(
            StateFolder(config.state_folder(state)),
            url=url,
            email=email,
            password=password,
            device_name=device or config.default_device_name(),
            ca_file=ca_file,
        )
        return record.device_name

    name = trio.run(run)
    typer.echo(f"{email} is logged in on {name}. Next: mountfs mount DIR")
    return None


@command
def logout(
    discard_changes: Annotated[
        bool,
        typer.Option("--discard-changes", help="Lose what the server does not have yet."),
    ] = False,
    state: StateOption = None,
) -> int | None:
    """Revoke this device and remove what it keeps.

    Refused while it is mounted, or has changes that the server lacks. Example: mountfs logout
    """
    import trio

    from mountfs.app import account
    from mountfs.app.state_folder import StateFolder

    folder = StateFolder(config.state_folder(state))

    async def run() -> bool:
        return await account.log_out(folder, discard_changes=discard_changes)

    if trio.run(run):
        typer.echo("logged out")
    else:
        typer.echo(
            "logged out here; the server could not be told: revoke this device from another "
            "one with `mountfs devices revoke`"
        )
    return None


@command
def list_devices(json: JsonOption = False, state: StateOption = None) -> int | None:
    """Show the devices of your account.

    Example: mountfs devices ls
    """
    import msgspec
    import trio

    from mountfs.app import account
    from mountfs.app.state_folder import StateFolder

    found = trio.run(account.list_devices, StateFolder(config.state_folder(state)))
    if json:
        typer.echo(msgspec.json.encode(found).decode())
        return None
    for device in found:
        here = "  (this device)" if device.is_current else ""
        typer.echo(f"{device.device_id:>20}  {device.name}{here}")
    return None


@command
def revoke(
    device: Annotated[str, typer.Argument(help="Name or number.", metavar="DEVICE")],
    state: StateOption = None,
) -> int | None:
    """End a device: its token works no more.

    Example: mountfs devices revoke old-laptop
    """
    import trio

    from mountfs.app import account
    from mountfs.app.state_folder import StateFolder

    found = trio.run(account.revoke_device, StateFolder(config.state_folder(state)), device)
    typer.echo(f"{found.name} is revoked")
    return None
