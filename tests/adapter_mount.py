"""The adapter on the real kernel, over a file system in memory, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

from harness.mount import mounted_at

PROGRAM: Final = Path(__file__).parent / "fuse" / "memory_mount.py"
STOP_TIMEOUT_S: Final = 20.0


class Counts(NamedTuple):
    nodes: int
    lookups: int


class AdapterMount:
    """Use as a context. What it wrote to stderr must be empty, unless told otherwise."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.expects_alarms = False
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "AdapterMount":
        self.path.mkdir(exist_ok=True)
        self.start()
        return self

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready", self._process.communicate(timeout=STOP_TIMEOUT_S)

    @property
    def process(self) -> "subprocess.Popen[str]":
        assert self._process is not None
        return self._process

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def counts(self) -> Counts:
        """Return the answer to the last command."""
        nodes, lookups = self._line().split()
        return Counts(int(nodes), int(lookups))

    def ask(self, command: str) -> Counts:
        self.tell(command)
        return self.counts()

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.communicate()

    def stop(self) -> None:
        """Let it stop by itself; the mount point is left to the caller, who must not hang."""
        _, said = self.process.communicate(timeout=STOP_TIMEOUT_S)
        assert self.process.returncode == 0, said
        assert self.expects_alarms or not said, said

    def __exit__(self, *raised: object) -> None:
        try:
            if self.process.poll() is None:
                self.stop()
        finally:
            if self.process.poll() is None:
                self.kill()
            for _kind in mounted_at(self.path):
                subprocess.run(["fusermount3", "-uz", os.fspath(self.path)], check=False)

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()
