"""The command `mountfs`: which commands there are."""

import typer

from mountfs.cli import (
    account_commands,
    check_command,
    conflict_commands,
    doctor_command,
    mount_commands,
    status_command,
)

app = typer.Typer(
    name="mountfs",
    help="Your drive as an ordinary folder.",
    epilog="Examples: `mountfs login https://drive.example.org --email me@example.org`, "
    "then `mountfs mount ~/Drive`. Exit codes: 0 done, 1 refused or failed, 2 usage, "
    "3 server unreachable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
devices = typer.Typer(
    help="The devices of your account.", no_args_is_help=True, rich_markup_mode=None
)

app.command("login")(account_commands.login)
app.command("mount")(mount_commands.mount)
app.command("umount")(mount_commands.umount)
app.command("sync")(mount_commands.sync)
app.command("status")(status_command.status)
app.command("conflicts")(conflict_commands.conflicts)
app.command("resolve")(conflict_commands.resolve)
app.command("check")(check_command.check)
app.command("doctor")(doctor_command.doctor)
app.command("logout")(account_commands.logout)
devices.command("ls")(account_commands.list_devices)
devices.command("revoke")(account_commands.revoke)
app.add_typer(devices, name="devices")


def main() -> None:
    """Run the command line."""
    app()
