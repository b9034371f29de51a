"""`mountfs` as a program: quick to start, usage errors told apart, one line for every failure."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mountfs.cli.main import app

TOO_HEAVY_FOR_HELP = ("trio", "httpx", "pyfuse3", "lmdb", "cryptography", "rich", "sqlite3")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_STATE_HOME", "MOUNTFS_STATE"):
        monkeypatch.delenv(name, raising=False)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, mountfs.cli.main\n"
        "try: mountfs.cli.main.main()\n"
        "except SystemExit: pass\n"
        f"loaded = set({TOO_HEAVY_FOR_HELP!r}) & set(sys.modules)\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)\n"
    )
    command = [sys.executable, "-c", code, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "mount" in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        "login",
        "mount",
        "umount",
        "sync",
        "status",
        "conflicts",
        "resolve",
        "check",
        "doctor",
        "logout",
        "devices ls",
    ],
)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    done = run(*command.split(), "--help")
    assert done.exit_code == 0, done.stderr
    assert f"mountfs {command}" in " ".join(done.stdout.split())
    assert "Example" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["fly"],
        ["mount"],
        ["mount", "--nonsense", "/x"],
        ["login", "http://x"],
        ["mount", "/x", "--cache-size", "much"],
        ["mount", "/x", "--staging-size", "1KiB"],
        ["mount", "/x", "--consistency", "hope"],
        ["resolve", "/x"],
        ["resolve", "/x", "--keep-copy", "--keep-both"],
    ],
)
def test_usage_errors_end_with_2(words: list[str]) -> None:
    done = run(*words)
    assert done.exit_code == 2, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mount", "{home}"], "mountfs login"),
        (["umount", "{home}"], "not a drive mounted"),
        (["sync", "{home}"], "not a drive mounted"),
        (["status", "{home}"], "not a drive mounted"),
        (["conflicts", "{home}"], "not a drive mounted"),
        (["resolve", "{home}/f", "--keep-both"], "not in a drive mounted"),
        (["logout"], "not logged in"),
        (["devices", "ls"], "not logged in"),
    ],
)
def test_a_failure_is_one_line_with_a_remedy(words: list[str], said: str, tmp_path: Path) -> None:
    done = run(*(word.format(home=tmp_path) for word in words))
    assert done.exit_code == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == ""


def test_nothing_is_mounted(tmp_path: Path) -> None:
    done = run("status", "--state", str(tmp_path / "state"), "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, [])


def test_the_doctor_names_what_is_missing() -> None:
    done = run("doctor", "--json")
    answer = json.loads(done.stdout)
    assert done.exit_code == 1
    assert answer["ok"] is False
    found = {check["name"]: check for check in answer["checks"]}
    assert {"kernel", "fusermount3", "pyfuse3", "disk space", "login"} <= found.keys()
    assert not found["login"]["ok"]
    assert "mountfs login" in found["login"]["remedy"]
    assert all(check["remedy"] for check in answer["checks"] if not check["ok"])


def test_a_state_folder_with_something_odd_in_it(tmp_path: Path) -> None:
    (tmp_path / ".local/state/mountfs").mkdir(parents=True)
    (tmp_path / ".local/state/mountfs/device.json").mkdir()
    done = run("devices", "ls")
    assert done.exit_code == 1
    assert "Traceback" not in done.stderr
    assert "device.json" in done.stderr
