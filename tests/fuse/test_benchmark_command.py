"""The benchmark command, end to end: it measures and leaves nothing behind. Nothing is judged."""

import json
import signal
import sys
from pathlib import Path

import pytest

from harness.processes import LoggedProcess, environment, run
from harness.waiting import wait_until

pytestmark = pytest.mark.fuse

PROGRAM = Path(__file__).parent.parent / "benchmarks"
QUICKLY = ("--quick", "--rounds=1", "--patience=0", "--again=0", "--link=loopback")


def _is_mounted_below(folder: Path) -> bool:
    return f" {folder}/" in Path("/proc/self/mountinfo").read_text()


def test_one_workload_is_measured_on_a_plain_folder_and_on_a_drive(tmp_path: Path) -> None:
    work, report = tmp_path / "work", tmp_path / "report.json"
    done = run(
        [
            *(sys.executable, PROGRAM, *QUICKLY, "--only=transactions"),
            *(f"--dir={work}", f"--json={report}"),
        ],
        env=environment(tmp_path),
    )
    assert done.code == 0, str(done)
    assert "SQLite transactions" in done.out
    found = json.loads(report.read_text())
    (figure,) = found["figures"]
    assert figure["key"] == "sqlite"
    assert set(figure["columns"]) == {"plain folder", "loopback"}
    assert all(cell["median"] > 0 for cell in figure["columns"].values())
    assert found["failures"] == []
    assert list(work.iterdir()) == []
    assert not _is_mounted_below(work)


def test_ctrl_c_unmounts_stops_and_removes_everything(tmp_path: Path) -> None:
    work = tmp_path / "work"
    process = LoggedProcess(
        name="benchmarks",
        command=[sys.executable, PROGRAM, *QUICKLY, "--only=close-to-visible", f"--dir={work}"],
        env=environment(tmp_path),
        log=tmp_path / "log",
    )
    process.start()
    try:
        wait_until(lambda: _is_mounted_below(work), deadline_s=30, what="a drive is mounted")
        process.send(signal.SIGINT)
        assert process.wait(30) == 130, process.tail()
    finally:
        process.kill()
    assert not _is_mounted_below(work)
    assert list(work.iterdir()) == []


def test_an_unknown_workload_is_a_mistake_of_usage(tmp_path: Path) -> None:
    done = run([sys.executable, PROGRAM, "--only=nonsense"], env=environment(tmp_path))
    assert done.code == 2
    assert "small-files" in done.err
