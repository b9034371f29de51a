"""A stranger's program on a folder: ended in time with all that it started."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from harness.processes import Finished

TOO_LONG: Final = 124
"""The exit code of timeout(1)."""
LAST_WORDS_MAX: Final = 1500


def run_program(
    words: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    user: str | int | None = None,
) -> Finished:
    """Run a program in a process group of its own; after `timeout_s` the group is killed.

    `user`: run as this one; needs root.
    """
    with subprocess.Popen(
        [os.fspath(word) for word in words],
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C.UTF-8", "TMPDIR": str(cwd), **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
        start_new_session=True,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    ) as process:
        try:
            out, _ = process.communicate(stdin, timeout=timeout_s)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            out, _ = process.communicate()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return Finished(TOO_LONG, f"{out}\nkilled after {timeout_s:g} s", "")
    return Finished(process.returncode, out, "")


def last_words(text: str) -> str:
    return text[-LAST_WORDS_MAX:].strip()
