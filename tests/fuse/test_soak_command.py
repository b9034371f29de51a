"""The soak, end to end and short; `python tests/soak` is the real one."""

import json
import sys
from pathlib import Path

import pytest

from harness.processes import environment, run

pytestmark = [pytest.mark.fuse, pytest.mark.slow]

PROGRAM = Path(__file__).parent.parent / "soak"


def test_nothing_is_above_its_ceiling(tmp_path: Path) -> None:
    done = run(
        [sys.executable, PROGRAM, "--hours-worth=0.4", f"--dir={tmp_path}", "--json", "found.json"],
        env=environment(tmp_path),
        cwd=tmp_path,
        timeout_s=180,
    )
    assert done.code == 0, str(done)
    found = json.loads((tmp_path / "found.json").read_text())
    assert sum(found["operations"].values()) == found["samples"][-1]["operations"] > 900
    assert found["faults"] == []
    assert list(tmp_path.glob("soak-*")) == []


def test_a_run_of_no_length_is_a_mistake_of_usage(tmp_path: Path) -> None:
    done = run([sys.executable, PROGRAM, "--hours-worth=0"], env=environment(tmp_path))
    assert done.code == 2
    assert "--hours-worth" in done.err
