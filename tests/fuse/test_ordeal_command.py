"""The ordeal, end to end and short; `python tests/ordeal --minutes 5` is the real one."""

import sys
from pathlib import Path

import pytest

from harness.processes import environment, run

pytestmark = [pytest.mark.fuse, pytest.mark.slow]

PROGRAM = Path(__file__).parent.parent / "ordeal"


def test_nothing_is_lost_under_cuts_and_kills(tmp_path: Path) -> None:
    done = run(
        [sys.executable, PROGRAM, "--minutes=0.4", "--seed=3", f"--dir={tmp_path}"],
        env=environment(tmp_path),
        timeout_s=180,
    )
    assert done.code == 0, str(done)
    assert "killed" in done.out
    assert "nothing was lost" in done.out
    assert list(tmp_path.glob("ordeal-*")) == []


def test_a_run_of_no_length_is_a_mistake_of_usage(tmp_path: Path) -> None:
    done = run([sys.executable, PROGRAM, "--minutes=0"], env=environment(tmp_path))
    assert done.code == 2
    assert "--minutes" in done.err
