"""The demo's server: made once, started, asked how it is, stopped."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from mountfs.demo.commands import command_path, run_command
from mountfs.demo.household import EMAIL, Household, is_port_free
from mountfs.errors import SetupError

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 20.0
ASK_TIMEOUT_S: Final = 2.0
_ASK_EVERY_S: Final = 0.05
_LOG_LINES_SHOWN: Final = 10


class DemoServer:
    """`mountfs-server` on the demo's data. Only whoever holds the household's lock uses it."""

    def __init__(self, household: Household) -> None:
        self._household = household
        self._port = household.load_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def ensure_exists(self) -> bool:
        """Make keys, database and account. Returns whether they are new. Idempotent: what an
        interrupted first run left is made again."""
        household = self._household
        complete = household.folder / "server.complete"
        if complete.exists():
            return False
        if not household.server_data.exists():
            run_command("mountfs-server", "init", "--data", household.server_data)
        run_command(
            *("mountfs-server", "user", "add", EMAIL, "--data", household.server_data),
            "--password-stdin",
            stdin=household.load_password() + "\n",
        )
        complete.touch()
        return True

    def start(self) -> None:
        """Start it, and return when it answers.

        Raises:
            SetupError: The port is taken, or the server ended; its last words are in the message.
        """
        self._end_left_behind()
        if not is_port_free(self._port):
            raise SetupError(
                f"another program listens on port {self._port}, where this demo's server was",
                remedy=f"end that program, or begin anew: rm -r {self._household.folder}",
            )
        with self._household.server_log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(command_path("mountfs-server"), "serve", "--json"),
                    *("--data", self._household.server_data),
                    *("--listen", f"127.0.0.1:{self._port}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._household.server_pid.write_text(f"{self._process.pid}\n")
        gives_up_at = time.monotonic() + START_TIMEOUT_S
        while self._ask("/health/ready") is None:
            self.check()
            if time.monotonic() > gives_up_at:
                raise SetupError(f"the server does not answer\n{self._last_words()}")
            time.sleep(_ASK_EVERY_S)

    def check(self) -> None:
        """Raises SetupError with the server's last words when it has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise SetupError(f"the server ended by itself\n{self._last_words()}")

    def metrics(self) -> str:
        """Return what the server tells Prometheus; empty when it does not answer."""
        return self._ask("/metrics") or ""

    def stop(self) -> None:
        """End it in order, and insist after STOP_TIMEOUT_S. Idempotent."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        self._household.server_pid.unlink(missing_ok=True)

    def _end_left_behind(self) -> None:
        """End the server of a demo that was killed: by its id, and only if it is that server."""
        try:
            pid = int(self._household.server_pid.read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return
        if os.fsencode(self._household.server_data) not in words:
            return
        os.kill(pid, signal.SIGTERM)
        gives_up_at = time.monotonic() + STOP_TIMEOUT_S
        while Path(f"/proc/{pid}").exists() and time.monotonic() < gives_up_at:
            time.sleep(_ASK_EVERY_S)

    def _ask(self, path: str) -> str | None:
        # No proxy stands between us and loopback, whatever the environment says.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self.url + path, timeout=ASK_TIMEOUT_S) as answer:
                text: str = answer.read().decode()
                return text
        except (OSError, urllib.error.URLError):
            return None

    def _last_words(self) -> str:
        lines = self._household.server_log.read_text(errors="replace").splitlines()
        return "\n".join([*lines[-_LOG_LINES_SHOWN:], f"(all of it: {self._household.server_log})"])
