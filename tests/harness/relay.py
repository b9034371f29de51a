"""A slow or broken link between devices and the server: `tests/wan_relay.py` in its own process."""

import json
import socket
import sys
from pathlib import Path
from typing import Final, Literal

from harness.http_watch import Trap
from harness.processes import LoggedProcess, environment
from harness.waiting import wait_until

Action = Literal["cut", "freeze"]

ANSWER_TIMEOUT_S: Final = 10.0
PROGRAM: Final = Path(__file__).parent.parent / "wan_relay.py"


def free_port() -> int:
    """Return a port of loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


class Relay:
    """One access link to the server on `to_port`. Everything that crosses it is counted."""

    def __init__(self, folder: Path, to_port: int, *, rtt_ms: float = 0, mbit: float = 0) -> None:
        self.port, self.control_port = free_port(), free_port()
        self._process = LoggedProcess(
            name="relay",
            command=[
                sys.executable,
                PROGRAM,
                f"--listen=127.0.0.1:{self.port}",
                f"--to=127.0.0.1:{to_port}",
                f"--control=127.0.0.1:{self.control_port}",
                f"--rtt-ms={rtt_ms}",
                f"--mbit={mbit}",
            ],
            env=environment(folder),
            log=folder / "relay.log",
        )
        self._process.start()
        wait_until(lambda: is_listening(self.control_port), deadline_s=10, what="the relay listens")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _ask(self, line: str) -> dict[str, float]:
        with socket.create_connection(
            ("127.0.0.1", self.control_port), timeout=ANSWER_TIMEOUT_S
        ) as link:
            link.sendall(line.encode() + b"\n")
            with link.makefile("rb") as answer:
                found: dict[str, float] = json.loads(answer.readline())
                return found

    def cut(self) -> None:
        """Drop every connection and refuse new ones."""
        self._ask("cut")

    def heal(self) -> None:
        self._ask("heal")

    def freeze(self) -> None:
        """Let nothing pass any more and tell nobody. What is connected now is dead for ever."""
        self._ask("freeze")

    def set_trap(self, trap: Trap, action: Action) -> None:
        """Cut or freeze as soon as such a request comes to that place, once."""
        self._ask(f"trap kind={trap.kind} place={trap.place.value} action={action}")

    @property
    def is_sprung(self) -> bool:
        """Whether the trap was sprung, since it was set."""
        return bool(self._ask("stats")["sprung"])

    def forget(self) -> None:
        """Let every connection that there is carry nothing any more, without a word to either end.
        New ones are carried."""
        self.freeze()
        self.heal()

    def tries_count(self) -> int:
        """Return how many connections were asked for since the last reset, also while cut."""
        return int(self._ask("stats")["tries"])

    def change(self, *, rtt_ms: float, mbit: float) -> None:
        self._ask(f"set rtt_ms={rtt_ms} mbit={mbit}")

    def reset_counters(self) -> None:
        self._ask("reset")

    def bytes_up_and_down(self) -> tuple[int, int]:
        """Return the bytes that went to the server and came from it since the last reset."""
        counted = self._ask("stats")
        return int(counted["up"]), int(counted["down"])

    def stop(self) -> None:
        self._process.kill()
