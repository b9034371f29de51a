"""Commands of `mountfs-server` and their exit codes."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from backend_server.cli.failures import EXIT_FAILED, told
from backend_server.cli.sizes import format_size, parse_size
from backend_server.config import Flags, ServerConfig, load_config

_EPILOG = """
Examples:

mountfs-server init --data /srv/mountfs

mountfs-server user add anna@example.org --data /srv/mountfs --quota 50GiB

mountfs-server serve --data /srv/mountfs --listen 127.0.0.1:8420

mountfs-server check --data /srv/mountfs
"""

app = typer.Typer(
    name="mountfs-server",
    help="Run a mountfs server: the drives of many people on your own machine.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
user_app = typer.Typer(help="Accounts.", no_args_is_help=True)
app.add_typer(user_app, name="user")

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="The folder that holds the server: keys, database, blocks. Also $MOUNTFS_SERVER_DATA.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def _config(flags: Flags) -> ServerConfig:
    return load_config(flags)


@app.command(
    epilog="Example: mountfs-server init --data /srv/mountfs",
)
def init(data: Data = None, as_json: AsJson = False) -> None:
    """Make keys, database and config in an empty folder."""
    from backend_server.cli.initialise import initialise
    from backend_server.services.master_key import format_master_key

    with told():
        config = _config(Flags(data=data))
        master = initialise(config)
        if as_json:
            print(
                json.dumps(
                    {
                        "data": str(config.data),
                        "master_key_file": str(config.master_key_file),
                        "recovery_copy": format_master_key(master),
                    }
                )
            )
            return
        console = Console(soft_wrap=True, highlight=False)
        console.print(f"Initialised {config.data}", markup=False)
        console.print(
            "\nRecovery copy of the master key. Without the key nobody can read any content, "
            "ever again:\nwrite this line down and keep it away from this machine.\n"
        )
        console.print("    " + format_master_key(master), markup=False)
        console.print(
            f"\nIt is in {config.master_key_file}. Next:\n"
            f"    mountfs-server user add EMAIL --data {config.data}\n"
            f"    mountfs-server serve --data {config.data}",
            markup=False,
        )


@app.command(
    epilog="Examples: mountfs-server serve --data /srv/mountfs"
    "  ·  mountfs-server serve --data /srv/mountfs --listen 0.0.0.0:443"
    " --tls-cert fullchain.pem --tls-key key.pem",
)
def serve(
    data: Data = None,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Where to listen; port 0 takes a free one. Default 127.0.0.1:8420.",
            show_default=False,
        ),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Settings; default DIR/mountfs-server.toml."),
    ] = None,
    roles: Annotated[
        str | None,
        typer.Option(
            metavar="ROLES", help="What this process serves, of api,blocks,notify. Default all."
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate chain in PEM: serve HTTPS.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The certificate's key in PEM.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Serve until stopped. Prints one line when ready; logs are JSON lines on stderr."""
    with told():
        config = _config(
            Flags(
                data=data,
                config_file=config_file,
                listen=listen,
                roles=roles,
                tls_cert=tls_cert,
                tls_key=tls_key,
            )
        )
        from backend_server.cli.log_setup import set_up_logs
        from backend_server.cli.serving import serve as serve_until_stopped

        set_up_logs(config.log_level)
        serve_until_stopped(config, as_json=as_json)


@app.command(
    epilog="Examples: mountfs-server check --data /srv/mountfs"
    "  ·  mountfs-server check --data /srv/mountfs --repair"
    "  ·  mountfs-server check --data /srv/mountfs --quick --json",
)
def check(
    data: Data = None,
    config_file: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Settings; default DIR/mountfs-server.toml."),
    ] = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Repair what can be; the server must be stopped."),
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Do not read blocks that have their size.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find what was cut, flipped or deleted behind the server's back. Without --repair it changes
    nothing, and the server may be running.

    Exit code 0: all is in order, or repaired. 1: something is wrong.
    """
    with told():
        config = _config(Flags(data=data, config_file=config_file))
        from backend_server.cli.check_view import print_report, report_json, shown_progress
        from backend_server.cli.checking import check_data
        from backend_server.maintenance.check.surroundings import CheckOptions

        with shown_progress(Console(stderr=True)) as progress:
            report = check_data(config, CheckOptions(repair, quick), progress)
    if as_json:
        print(report_json(report, config.data))
    else:
        print_report(report, config.data, Console(soft_wrap=True, highlight=False))
    if report.left_count:
        sys.exit(EXIT_FAILED)


@app.command(
    epilog="Example: mountfs-server restored --data /srv/mountfs",
)
def restored(data: Data = None, as_json: AsJson = False) -> None:
    """Say that the data folder, or its database, came back from a backup. Run it before `serve`.

    Devices then take the tree anew, and offer again what they hold of the time since the backup.
    Nothing is lost if it was no restore, or is said twice: devices only take the tree once more.
    """
    with told():
        from backend_server.cli.restored import note_restored

        drive_count = note_restored(_config(Flags(data=data)))
    if as_json:
        print(json.dumps({"drives": drive_count}))
    else:
        print(
            f"{drive_count} drives begin a new epoch. Next: `mountfs-server check`, which finds "
            "blocks that the backup lacks, and `mountfs-server serve`."
        )


@user_app.command(
    "add",
    epilog="Example: mountfs-server user add anna@example.org --data /srv/mountfs --quota 50GiB",
)
def user_add(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="What the person logs in with.")],
    data: Data = None,
    is_admin: Annotated[bool, typer.Option("--admin", help="May administer the server.")] = False,
    quota: Annotated[str, typer.Option(metavar="SIZE", help="Of the home drive.")] = "10GiB",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make an account with a home drive; the server may be running."""
    try:
        quota_bytes = parse_size(quota)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--quota") from None
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = typer.prompt(f"Password of {email}", hide_input=True, confirmation_prompt=True)
    with told():
        from backend_server.cli.users import add_user

        config = _config(Flags(data=data))
        account_id = add_user(config, email, password, is_admin=is_admin, quota_bytes=quota_bytes)
    if as_json:
        print(json.dumps({"account_id": account_id, "quota_bytes": quota_bytes}))
    else:
        print(f"Made an account for {email} with {format_size(quota_bytes)}.")


@user_app.command("list", epilog="Example: mountfs-server user list --data /srv/mountfs --json")
def user_list(data: Data = None, as_json: AsJson = False) -> None:
    """List the accounts and what their drives take."""
    with told():
        from backend_server.cli.users import list_users

        summaries = list_users(_config(Flags(data=data)))
    if as_json:
        print(
            json.dumps(
                [
                    {
                        "account_id": summary.account.account_id,
                        "email": summary.account.email,
                        "is_admin": summary.account.is_admin,
                        "is_suspended": summary.account.is_suspended,
                        "used_bytes": summary.used_bytes,
                        "quota_bytes": summary.limit_bytes,
                    }
                    for summary in summaries
                ]
            )
        )
        return
    table = Table("e-mail", "used", "quota", "")
    for summary in summaries:
        notes = [
            note
            for note, holds in (
                ("admin", summary.account.is_admin),
                ("suspended", summary.account.is_suspended),
            )
            if holds
        ]
        table.add_row(
            summary.account.email,
            format_size(summary.used_bytes),
            format_size(summary.limit_bytes),
            ", ".join(notes),
        )
    Console().print(table)


def main() -> None:
    """The entry point of `mountfs-server`."""
    app()


if __name__ == "__main__":
    main()
