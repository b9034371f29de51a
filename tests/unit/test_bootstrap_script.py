"""The set-up script's words and exit codes, where nothing is to be set up."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def _bootstrap(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", ROOT / "bootstrap", *words],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        env=os.environ | {"CI": "true"},
    )


def test_help_names_every_verb() -> None:
    done = _bootstrap("--help")
    assert done.returncode == 0
    for verb in ("demo", "test", "setup"):
        assert f"\n  {verb} " in done.stdout


@pytest.mark.parametrize("words", [(), ("no-such-verb",)])
def test_anything_else_is_a_usage_error(words: tuple[str, ...]) -> None:
    done = _bootstrap(*words)
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_locks_pin_everything_with_hashes_and_name_no_place() -> None:
    assert [path.name for path in LOCKS] == ["build.txt", "dev.txt", "run.txt"]
    for path in LOCKS:
        text = path.read_text()
        assert "://" not in text
        assert "--index-url" not in text
        assert "--find-links" not in text
        for line in text.splitlines():
            if line and not line.startswith(("#", " ")):
                assert "==" in line, line
                assert line.endswith("\\"), f"no hash: {line}"


def test_tests_run_with_the_versions_that_people_run() -> None:
    run, dev = (
        {line for line in (ROOT / "requirements" / name).read_text().splitlines() if "==" in line}
        for name in ("run.txt", "dev.txt")
    )
    assert run <= dev
