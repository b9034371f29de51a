"""Processes of a test: started with their output in a file, ended by their own id.

The log is the only thing shared with the child, so nothing blocks on a full pipe, and what a killed
process said is still there to be read.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

COMMANDS: Final = Path(sys.executable).parent
"""Where the installed commands are: beside the interpreter that runs the tests."""

COMMAND_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0

ALARM: Final = re.compile(
    r'"level":\s*"(?:warning|error|critical)"|\b(?:WARNING|ERROR|CRITICAL)\b'
    r"|\[(?:warning|error|critical)\s*\]|Traceback \(most recent call last\)",
)


@dataclass(frozen=True)
class Finished:
    """How a short command ended."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a child's environment: ours, but with a home of its own and none of our settings."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MOUNTFS_")}
    kept |= {"HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "PYTHONUNBUFFERED": "1"}
    kept |= {"XDG_CONFIG_HOME": str(home / "config"), "XDG_CACHE_HOME": str(home / "cache")}
    return kept | dict(extra or {})


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str],
    stdin: str = "",
    cwd: Path | None = None,
    timeout_s: float = COMMAND_TIMEOUT_S,
) -> Finished:
    """Run a short command to its end and return how it ended, whatever its exit code."""
    done = subprocess.run(
        [os.fspath(word) for word in command],
        input=stdin,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        env=dict(env),
        cwd=cwd,
        timeout=timeout_s,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


@dataclass
class LoggedProcess:
    """One running program whose output goes to `log`, appended over restarts.

    `expected` are patterns of alarming lines that this test means to provoke.
    """

    name: str
    command: Sequence[str | os.PathLike[str]]
    env: Mapping[str, str]
    log: Path
    expected: list[str] = field(default_factory=list)
    cwd: Path | None = None
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert not self.is_running, f"{self.name} runs already"
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [os.fspath(word) for word in self.command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=dict(self.env),
                cwd=self.cwd,
                # Ctrl-C on the test run must reach the tests' clean-up, not this.
                start_new_session=True,
            )

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def wait(self, timeout_s: float | None = STOP_TIMEOUT_S) -> int:
        """Return the exit code. Raises subprocess.TimeoutExpired."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """End it as a crash would: no clean-up of its own runs. Idempotent."""
        if self.is_running:
            self.send(signal.SIGKILL)
            self.wait()

    def stop(self) -> int | None:
        """Ask it to end, and insist after STOP_TIMEOUT_S. Returns the exit code. Idempotent."""
        if not self.is_running:
            return self.exit_code
        self.send(signal.SIGTERM)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self.name} did not stop within {STOP_TIMEOUT_S:g} s\n{self.tail()}"
            ) from None

    def text(self) -> str:
        return self.log.read_text(errors="backslashreplace") if self.log.exists() else ""

    def tail(self, line_count: int = 40) -> str:
        return f"--- last lines of {self.name}\n" + "\n".join(
            self.text().splitlines()[-line_count:]
        )

    def alarms(self, *, since: int = 0) -> list[str]:
        """Return the alarming lines of the log that the test did not announce as expected.

        `since`: characters of the log that are not looked at.
        """
        return [
            line
            for line in self.text()[since:].splitlines()
            if ALARM.search(line) and not any(re.search(known, line) for known in self.expected)
        ]
