"""The parent exits with the child's verdict; in a process of its own, because it forks."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PROGRAM = """
import os, signal, sys
from pathlib import Path
from mountfs.app.control_messages import Failed, error_of
from mountfs.app.daemon import run_in_background
from mountfs.errors import MountError, Offline, SetupError

def run(verdict):
    Path(sys.argv[1], "child").write_text(f"{os.getpid()} {os.getsid(0)} {os.getcwd()}")
    verdict.still_starting()
    verdict.still_starting()
BODY
    Path(sys.argv[1], "served").touch()
    os.mkfifo(Path(sys.argv[1], "end"))
    return 0

try:
    run_in_background(
        run,
        log_file=Path("/the/log"),
        decode=lambda said: error_of(Failed(said["kind"], said["message"], said["remedy"])),
    )
except MountError as error:
    sys.exit(f"{type(error).__name__}: {error} ({getattr(error, 'remedy', '')})")
print("mounted")
"""


def _start(body: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.replace("BODY", textwrap.indent(textwrap.dedent(body).strip(), "    "))
    return subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, timeout=60
    )


def test_the_parent_returns_when_the_child_is_ready(tmp_path: Path) -> None:
    done = _start("verdict.mounted(); assert verdict.is_given", tmp_path)
    assert (done.returncode, done.stdout) == (0, "mounted\n"), done.stderr
    pid, session, folder = (tmp_path / "child").read_text().split()
    assert (session, folder) == (pid, "/")


def test_the_parent_says_why_the_child_refused(tmp_path: Path) -> None:
    done = _start(
        'verdict.refused(SetupError("no way.", remedy="another way")); return 1', tmp_path
    )
    assert done.returncode == 1
    assert done.stderr == "SetupError: no way. (another way)\n"
    assert not (tmp_path / "served").exists()


@pytest.mark.parametrize(
    "death", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)", "raise ZeroDivisionError"]
)
def test_a_child_that_dies_without_a_word(tmp_path: Path, death: str) -> None:
    done = _start(death, tmp_path)
    assert done.returncode == 1
    assert "/the/log" in done.stderr


def test_what_the_child_says_goes_nowhere(tmp_path: Path) -> None:
    done = _start('print("chatter", flush=True); verdict.mounted()', tmp_path)
    assert done.stdout == "mounted\n"
