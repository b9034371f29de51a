"""A device: one state folder, logged in."""

from pathlib import Path

from harness.processes import COMMANDS, Finished, environment, run
from harness.server import Account


class Device:
    """What `mountfs` knows on one device. Two of them on one machine are two devices."""

    def __init__(self, folder: Path, *, state: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.state = state or folder / "state"
        self.env = environment(folder, {"MOUNTFS_STATE": str(self.state)})

    @property
    def name(self) -> str:
        return self.folder.name

    def command(self, *words: str | Path, stdin: str = "", timeout_s: float = 60.0) -> Finished:
        """Run `mountfs` with `words` on this device."""
        return run([COMMANDS / "mountfs", *words], env=self.env, stdin=stdin, timeout_s=timeout_s)

    def try_login(self, url: str, account: Account, *options: str) -> Finished:
        return self.command(
            *("login", url, "--email", account.email, "--device", self.name),
            *("--password-stdin", "--state", str(self.state), *options),
            stdin=account.password + "\n",
        )

    def login(self, url: str, account: Account) -> None:
        done = self.try_login(url, account)
        assert done.code == 0, f"login: {done}"
