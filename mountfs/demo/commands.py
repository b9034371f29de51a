"""Runs the installed commands, as a person would."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from mountfs.errors import SetupError

TIMEOUT_S: Final = 120.0


def command_path(name: str) -> Path:
    """Return the installed command `name`: beside the interpreter that runs us."""
    return Path(sys.executable).parent / name


def run_command(
    name: str, *words: str | Path, stdin: str = "", timeout_s: float = TIMEOUT_S
) -> None:
    """Run a command to its end.

    Raises:
        SetupError: It failed; what it said is the message.
    """
    done = try_command(name, *words, stdin=stdin, timeout_s=timeout_s)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
        raise SetupError(f"{name} {words[0]}: {said.removeprefix(f'{name}: ')}")


def try_command(
    name: str, *words: str | Path, stdin: str = "", timeout_s: float = TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever that is.

    Raises:
        SetupError: It did not end within `timeout_s`.
    """
    try:
        return subprocess.run(
            [command_path(name), *(os.fspath(word) for word in words)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            # Ctrl-C is for the demo, which then ends things in order.
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"{name} {words[0]} did not end within {timeout_s:g} s") from error
