"""Where the demo keeps its things, and what it remembers between two runs.

.demo/lock       held while a demo runs here
.demo/port       the server's port; the device knows the server by it
.demo/password   the demo account's, made up at the first run
.demo/server/    the server's data          .demo/server.log, server.pid
.demo/device/    the device's state         ./drive/ is its mount point
"""

import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mountfs.errors import SetupError

EMAIL: Final = "demo@example.org"
FAVOURITE_PORT: Final = 8420
_PASSWORD_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Household:
    """All paths of a demo in the folder `root`."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / ".demo"

    @property
    def drive(self) -> Path:
        return self.root / "drive"

    @property
    def server_data(self) -> Path:
        return self.folder / "server"

    @property
    def server_log(self) -> Path:
        return self.folder / "server.log"

    @property
    def server_pid(self) -> Path:
        return self.folder / "server.pid"

    @property
    def device_state(self) -> Path:
        return self.folder / "device"

    @property
    def password_file(self) -> Path:
        return self.folder / "password"

    def load_password(self) -> str:
        """Return the demo account's password; made up and kept if there is none yet."""
        if not self.password_file.exists():
            handle = os.open(self.password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(handle, "w") as file:
                file.write(secrets.token_urlsafe(_PASSWORD_BYTES) + "\n")
        return self.password_file.read_text().strip()

    def load_port(self) -> int:
        """Return the port of before, or a free one that is kept from now on."""
        file = self.folder / "port"
        if file.exists():
            return int(file.read_text())
        port = FAVOURITE_PORT if is_port_free(FAVOURITE_PORT) else _any_free_port()
        file.write_text(f"{port}\n")
        return port

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder, and hold it: one demo at a time.

        Raises:
            SetupError: Another demo runs here.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SetupError(
                    f"a demo runs already in {self.root}", remedy="end it with Ctrl-C first"
                ) from None
            yield


def is_port_free(port: int) -> bool:
    """True when nobody listens on `port` of loopback."""
    try:
        # Reuses an address that waits after a close, as the server does; not one that is in use.
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _any_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
