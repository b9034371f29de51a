"""Drives `calls_in_time.py`, and says what waits in the kernel."""

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from harness.processes import environment

PROGRAM: Final = Path(__file__).parent / "calls_in_time.py"


class Call(NamedTuple):
    name: str
    took_s: float
    failed: str
    """Name of the errno; empty if it did not fail."""


class Prober:
    """One process at work on a mount. `begin` and `end` a round."""

    def __init__(self, folder: Path, cached: Path, *, home: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(folder), str(cached)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(home),
            text=True,
        )
        self._rounds_count = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self, uncached: Path) -> None:
        """Let all calls begin; returns at once."""
        assert self._process.stdin is not None
        self._rounds_count += 1
        self._process.stdin.write(f"{self._rounds_count} {uncached}\n")
        self._process.stdin.flush()

    def end(self) -> Sequence[Call]:
        """Return the calls when all have been answered. What never is, is the caller's to watch."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the prober ended"
        return [Call(*call) for call in json.loads(line)]

    def stop(self) -> None:
        """Kill it. Idempotent."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait(10)


def uninterruptible(pid: int) -> list[str]:
    """Return the threads of a process that are in state D, by what they wait in."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread may end meanwhile
            # The name may hold anything; the state is behind its closing parenthesis.
            if (task / "stat").read_text().rpartition(")")[2].split()[0] == "D":
                found.append(f"{task.name} in {(task / 'wchan').read_text()}")
    return found
