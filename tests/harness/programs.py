"""Other people's programs, run on a folder with everything personal kept out."""

import os
import subprocess
from pathlib import Path
from typing import Final

PROGRAM_TIMEOUT_S: Final = 120.0

_SETTINGS: Final = {
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z",
    # A mount of root may show files of another owner; git would refuse to look.
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}


def output_of(*words: str | Path, cwd: Path) -> str:
    """Run a program in `cwd` and return what it printed. It must end with exit code 0."""
    done = subprocess.run(
        [os.fspath(word) for word in words],
        cwd=cwd,
        env=os.environ | _SETTINGS,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=PROGRAM_TIMEOUT_S,
    )
    assert done.returncode == 0, f"{words} ended with {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout
