"""A real `mountfs-server` on a folder and a port of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.processes import COMMANDS, Finished, LoggedProcess, environment, run
from harness.relay import free_port, is_listening
from harness.waiting import wait_until

START_DEADLINE_S: Final = 30.0
PASSWORD: Final = "correct horse battery staple"


@dataclass(frozen=True)
class Account:
    email: str
    password: str = PASSWORD


class Server:
    """One server. It can be stopped, killed and started again on the same folder and port."""

    def __init__(
        self,
        folder: Path,
        *,
        data: Path | None = None,
        options: Sequence[str] = (),
        port: int | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.data = data or folder / "data"
        self.port = port or free_port()
        self._env = environment(folder)
        self.process = LoggedProcess(
            name="mountfs-server",
            command=[
                COMMANDS / "mountfs-server",
                "serve",
                "--data",
                self.data,
                "--listen",
                f"127.0.0.1:{self.port}",
                "--json",
                *options,
            ],
            env=self._env,
            log=folder / "server.log",
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self, *words: str | Path, stdin: str = "") -> Finished:
        """Run `mountfs-server` with `words` beside the running server."""
        return run([COMMANDS / "mountfs-server", *words], env=self._env, stdin=stdin)

    def initialize(self) -> None:
        done = self.command("init", "--data", self.data)
        assert done.code == 0, f"init: {done}"

    def start(self) -> None:
        """Start, and return when connections are taken."""
        self.process.start()

        def is_up() -> bool:
            assert self.process.is_running, f"the server ended\n{self.process.tail()}"
            return is_listening(self.port)

        wait_until(is_up, deadline_s=START_DEADLINE_S, what="the server listens")

    def add_account(self, email: str = "ada@example.org", *options: str) -> Account:
        account = Account(email)
        done = self.command(
            *("user", "add", email, "--data", str(self.data), "--password-stdin", *options),
            stdin=account.password + "\n",
        )
        assert done.code == 0, f"user add: {done}"
        return account

    def stop(self) -> None:
        """End it in good order; anything but exit code 0 is a defect."""
        code = self.process.stop()
        assert code in (0, None), f"the server ended with {code}\n{self.process.tail()}"

    def kill(self) -> None:
        self.process.kill()
