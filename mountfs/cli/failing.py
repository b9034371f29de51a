"""Every error as one clear line that names the remedy; the log has the rest."""

import functools
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

import typer

from mountfs import config
from mountfs.app.failures import (
    EXIT_FAILED,
    exit_code_of,
    first_leaf,
    message_of,
    remedy_of,
)
from mountfs.errors import MountError

P = ParamSpec("P")


def command(run: Callable[P, int | None]) -> Callable[P, None]:
    """Wrap a command that returns its exit code (None is done) and raises `mountfs.errors`."""

    @functools.wraps(run)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = run(*args, **kwargs)
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except KeyboardInterrupt:
            raise typer.Exit(EXIT_FAILED) from None
        except BrokenPipeError:
            # Whoever read our output has seen enough.
            sys.stderr.close()
            raise typer.Exit(EXIT_FAILED) from None
        except Exception as error:  # noqa: BLE001 - the last door to a person
            raise typer.Exit(_explain(error)) from None
        raise typer.Exit(code or 0)

    return wrapped


def complain(message: str, remedy: str = "") -> None:
    """Say on stderr what is wrong and what to do about it."""
    typer.echo(f"mountfs: {message}{f' ({remedy})' if remedy else ''}", err=True)


def _explain(error: Exception) -> int:
    cause = first_leaf(error)
    if isinstance(cause, MountError):
        complain(message_of(cause), remedy_of(cause))
        return exit_code_of(cause)
    log_file = _log(error)
    complain(
        f"unexpected error: {type(cause).__name__}: {cause}",
        f"details in {log_file}" if log_file else "",
    )
    return EXIT_FAILED


def _log(error: Exception) -> Path | None:
    log_file = config.state_folder(None) / "log" / "commands.log"
    try:
        log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log_file.open("a") as log:
            traceback.print_exception(error, file=log)
    except OSError:
        return None
    return log_file
