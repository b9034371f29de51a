"""Strangers' suites, a short part; `python tests/strangers` is all of them."""

import sys
from pathlib import Path

import pytest

from harness.processes import environment, run
from strangers.cpython import CPythonTests
from strangers.verdict import Case, Excuse, Outcome, judge

PROGRAM = Path(__file__).parent.parent / "strangers"


@pytest.mark.fuse
@pytest.mark.slow
@pytest.mark.skipif(bool(CPythonTests().missing()), reason=CPythonTests().missing())
def test_cpythons_own_tests_of_files_pass_on_the_mount(tmp_path: Path) -> None:
    done = run(
        # A short path: one of them makes a socket in its folder, whose path has 108 bytes at most.
        [sys.executable, PROGRAM, "--quick", "--only=cpython"],
        env=environment(tmp_path),
        timeout_s=270,
    )
    assert done.code == 0, str(done)
    assert "the mount passes what the plain folder passes" in done.out


def test_a_case_counts_when_the_plain_folder_passes_it() -> None:
    passed, skipped, failed = (Case(outcome) for outcome in Outcome)
    plain = {"a": passed, "b": passed, "c": passed, "d": failed, "e": skipped, "f x": passed}
    mounted = {"a": passed, "b": skipped, "d": failed, "e": failed, "f x": failed}
    found = judge("suite", plain, mounted, [Excuse("suite", "f *", "why"), Excuse("s", "b", "")])
    assert found.passed == 1
    assert found.failed_on_both == ("d",)
    assert found.excused == ("f x",)
    assert found.faults == {"b": "skipped", "c": "did not run"}
