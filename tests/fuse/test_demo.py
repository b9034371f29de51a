"""The demo from start to end: what it shows, what it keeps, and what a killed one leaves behind."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from harness.mount import mounted_at
from harness.processes import COMMANDS, LoggedProcess, environment, run
from harness.waiting import wait_until

pytestmark = pytest.mark.fuse

START_DEADLINE_S = 40.0


class Demo:
    """The demo in a folder of its own, without a terminal."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.drive = root / "drive"
        self.env = environment(root)
        self.process = LoggedProcess(
            name="demo",
            command=[sys.executable, "-m", "mountfs.demo"],
            env=self.env,
            log=root / "demo.log",
            cwd=root,
        )

    def start(self) -> str:
        """Return what it said until the drive was there."""
        before = len(self.process.text())
        self.process.start()

        def is_there() -> bool:
            assert self.process.is_running, self.process.tail()
            return "online" in self.process.text()[before:].splitlines()

        wait_until(is_there, deadline_s=START_DEADLINE_S, what="the demo shows a drive")
        return self.process.text()[before:]

    def end(self, number: signal.Signals) -> None:
        self.process.send(number)
        assert self.process.wait(60) == 0, self.process.tail()
        assert mounted_at(self.drive) == []
        assert not (self.root / ".demo" / "server.pid").exists()

    def clean_up(self) -> None:
        """Leave nothing behind after a failure: a killed demo's server and mounts run on."""
        self.process.kill()
        for mount_point in (self.drive, self.root / "drive2"):
            run([COMMANDS / "mountfs", "umount", "--now", mount_point], env=self.env)
            for _ in mounted_at(mount_point):
                run(["fusermount3", "-uz", mount_point], env=self.env)
        pid_file = self.root / ".demo" / "server.pid"
        if pid_file.exists():
            with suppress(ProcessLookupError):
                os.kill(int(pid_file.read_text()), signal.SIGKILL)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    made = Demo(tmp_path)
    with ExitStack() as at_end:
        at_end.callback(made.clean_up)
        yield made
        if made.process.is_running:
            made.end(signal.SIGTERM)


def test_the_demo_keeps_its_data_and_ends_in_order(demo: Demo) -> None:
    said = demo.start()
    assert "made a server" in said
    (demo.drive / "letter.txt").write_text("kept for the next time")
    wait_until(
        lambda: "uploaded  letter.txt" in demo.process.text(), deadline_s=20, what="it is shown"
    )
    demo.end(signal.SIGINT)
    assert list(demo.drive.iterdir()) == []

    assert "made a server" not in demo.start()
    assert (demo.drive / "letter.txt").read_text() == "kept for the next time"
    demo.end(signal.SIGTERM)


def test_the_second_device_as_the_demo_tells_it(demo: Demo) -> None:
    demo.start()
    (demo.drive / "from the first").write_text("hello")
    (demo.root / "drive2").mkdir()
    hints = demo.process.text().splitlines()
    first = next(nth for nth, line in enumerate(hints) if "mountfs login" in line)
    for command in ("\n".join(hints[first : first + 2]), hints[first + 2]):
        command = command.replace(".venv/bin/", f"{COMMANDS}/")
        done = run(["sh", "-c", command], env=demo.env, cwd=demo.root)
        assert done.code == 0, f"{command}: {done}"
    second = demo.root / "drive2" / "from the first"
    wait_until(second.exists, deadline_s=20, what="the second device sees the first one's file")
    assert second.read_text() == "hello"
    demo.end(signal.SIGINT)
    assert mounted_at(demo.root / "drive2") == [], "the demo ends what it told people to start"


def test_a_demo_after_one_that_was_killed(demo: Demo) -> None:
    demo.start()
    (demo.drive / "f").write_text("written before the kill")
    demo.process.kill()
    demo.start()
    assert (demo.drive / "f").read_text() == "written before the kill"
    demo.end(signal.SIGINT)


def test_one_demo_at_a_time_and_a_folder_in_the_way(demo: Demo) -> None:
    demo.start()
    again = run([sys.executable, "-m", "mountfs.demo"], env=demo.env, cwd=demo.root)
    assert again.code == 1
    assert "runs already" in again.out
    demo.end(signal.SIGINT)

    (demo.drive / "mine").write_text("precious")
    refused = run([sys.executable, "-m", "mountfs.demo"], env=demo.env, cwd=demo.root)
    assert refused.code == 1
    assert "not empty" in refused.out
    assert (demo.drive / "mine").read_text() == "precious"
