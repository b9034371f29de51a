"""Asks a running mount, from a command: plain sockets, nothing heavy imported."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from mountfs.app.control_messages import (
    EVENT_BYTES_MAX,
    ConflictsAnswer,
    Done,
    Event,
    Failed,
    Progress,
    Request,
    StatusAnswer,
    error_of,
    socket_address,
)
from mountfs.app.registry import Registry, RunningMount
from mountfs.app.status import Conflict, MountStatus
from mountfs.errors import SetupError

CONNECT_TIMEOUT_S: Final = 5.0
SILENCE_TIMEOUT_S: Final = 60.0
"""A mount sends progress far more often; one that is silent for so long hangs."""


class NotServed(SetupError):
    """No process of ours serves the mount point."""


def find_running(mount_point: Path, registry: Registry | None = None) -> RunningMount:
    """Return the mount of ours at `mount_point` (as `resolve_mount_point` gives it).

    Raises:
        NotServed: There is none; its process may still have died since.
    """
    found = (registry or Registry()).find(mount_point)
    if found is None:
        raise NotServed(
            f"{mount_point} is not a drive mounted by you", remedy="see `mountfs status`"
        )
    return found


def ask_status(mount: RunningMount) -> MountStatus:
    """Return how `mount` is. Raises `NotServed`, or what the mount raised."""
    with _connected(mount) as connection:
        _send(connection, Request("status"))
        for event in _events(connection):
            match event:
                case StatusAnswer(status):
                    return status
                case Failed():
                    raise error_of(event)
                case _:
                    continue
    raise _gone(mount)


def ask_conflicts(mount: RunningMount) -> list[Conflict]:
    """Return which conflict copies the drive has, the oldest first. Raises as `ask_status`."""
    found: list[Conflict] = []
    while True:
        answer = _ask_about_conflicts(mount, Request("conflicts", skip=len(found)))
        found += answer.conflicts
        if not answer.conflicts or len(found) >= answer.count:
            return found


def ask_resolve(mount: RunningMount, path: bytes, keep: str) -> Conflict:
    """Settle the conflict copy at `path`, from the drive's root. Raises what the mount raised."""
    answer = _ask_about_conflicts(mount, Request("resolve", path=path, keep=keep))
    return answer.conflicts[0]


def _ask_about_conflicts(mount: RunningMount, request: Request) -> ConflictsAnswer:
    with _connected(mount) as connection:
        _send(connection, request)
        for event in _events(connection):
            match event:
                case ConflictsAnswer():
                    return event
                case Failed():
                    raise error_of(event)
                case _:
                    continue
    raise _gone(mount)


def ask_sync(mount: RunningMount, on_progress: Callable[[Progress], None]) -> Done:
    """Return when the server has everything written so far. Raises what the mount raised."""
    with _connected(mount) as connection:
        _send(connection, Request("sync"))
        return _until_done(mount, connection, on_progress)


def ask_stop(mount: RunningMount, *, now: bool, on_progress: Callable[[Progress], None]) -> Done:
    """Unmount, and return when the process has ended. Raises what the mount raised.

    `now`: do not wait for the server.
    """
    with _connected(mount) as connection:
        _send(connection, Request("stop", now=now))
        done = _until_done(mount, connection, on_progress)
        try:
            while connection.recv(4096):
                pass
        except OSError:
            pass  # it ended, only less politely
        return done


def _until_done(
    mount: RunningMount, connection: socket.socket, on_progress: Callable[[Progress], None]
) -> Done:
    for event in _events(connection):
        match event:
            case Progress():
                on_progress(event)
            case Done():
                return event
            case Failed():
                raise error_of(event)
            case StatusAnswer() | ConflictsAnswer():
                continue
    raise _gone(mount)


def _connected(mount: RunningMount) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(CONNECT_TIMEOUT_S)
    try:
        with socket_address(Path(mount.control_socket)) as address:
            connection.connect(address)
    except OSError as error:
        connection.close()
        raise _gone(mount) from error
    connection.settimeout(SILENCE_TIMEOUT_S)
    return connection


def _send(connection: socket.socket, request: Request) -> None:
    connection.sendall(msgspec.json.encode(request) + b"\n")


def _events(connection: socket.socket) -> Iterator[Event]:
    decoder = msgspec.json.Decoder(Event)
    received = b""
    while len(received) < EVENT_BYTES_MAX:
        try:
            piece = connection.recv(65536)
        except TimeoutError:
            raise SetupError(
                "the mount does not answer", remedy="see its log, or end its process"
            ) from None
        except OSError:
            return
        if not piece:
            return
        *lines, received = (received + piece).split(b"\n")
        for line in lines:
            yield decoder.decode(line)


def _gone(mount: RunningMount) -> NotServed:
    return NotServed(
        f"the process that served {mount.mount_point} has ended",
        remedy=f"mount again; its log is {mount.log_file}",
    )
