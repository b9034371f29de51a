"""What commands say to a running mount: one JSON object a line, over a Unix socket.

A command sends one `Request`; the mount answers with any number of `Progress` and then exactly
one `StatusAnswer`, `ConflictsAnswer`, `Done` or `Failed`. After `Done` to a stop, the connection
stays open until the process is gone: its end tells that the state folder is free.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

from mountfs import errors
from mountfs.app.status import Conflict, MountStatus, Parked, Queue

REQUEST_BYTES_MAX: Final = 16 * 1024
EVENT_BYTES_MAX: Final = 4 * 1024 * 1024


class Request(msgspec.Struct, frozen=True):
    """`now`: of a stop: do not wait for the server. `skip`: of conflicts: how many were told.
    `path`, `keep`: of a resolve: which copy, from the drive's root, and a value of
    `core.resolution.Keep`."""

    verb: Literal["status", "sync", "stop", "conflicts", "resolve"]
    now: bool = False
    skip: int = 0
    path: bytes = b""
    keep: str = ""


class Progress(msgspec.Struct, frozen=True, tag="progress", tag_field="event"):
    """What is still to be sent."""

    queue: Queue
    online: bool


class StatusAnswer(msgspec.Struct, frozen=True, tag="status", tag_field="event"):
    status: MountStatus


class ConflictsAnswer(msgspec.Struct, frozen=True, tag="conflicts", tag_field="event"):
    """Some of `count` conflict copies, the oldest first; after a resolve, the one settled."""

    conflicts: list[Conflict]
    count: int


class Done(msgspec.Struct, frozen=True, tag="done", tag_field="event"):
    """The server has everything but `parked`, and `left`, which the next mount will send."""

    parked: list[Parked] = []
    left: Queue = Queue()


class Failed(msgspec.Struct, frozen=True, tag="failed", tag_field="event"):
    """`kind` names a class of `mountfs.errors`."""

    kind: str
    message: str
    remedy: str = ""


Event = Progress | StatusAnswer | ConflictsAnswer | Done | Failed


def failed(error: errors.MountError) -> Failed:
    """Return `error` as an event. Pure."""
    for ancestor in type(error).__mro__:
        if ancestor.__module__ == errors.__name__:
            return Failed(ancestor.__name__, str(error), getattr(error, "remedy", ""))
    return Failed("MountError", str(error))


def error_of(event: Failed) -> errors.MountError:
    """Return what was raised on the other side, or its nearest relative. Pure."""
    kind = getattr(errors, event.kind, errors.MountError)
    if isinstance(kind, type) and issubclass(kind, errors.SetupError):
        return kind(event.message, remedy=event.remedy)
    if isinstance(kind, type) and issubclass(kind, errors.MountError):
        try:
            return kind(event.message)
        except TypeError:
            pass  # needs more than a message: its ancestor will do
    return errors.MountError(event.message)


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """Return an address for `path` that is short enough, whatever `path` is.

    The kernel bounds addresses of Unix sockets to 107 bytes (unix(7)); the folder's descriptor
    stands for the rest. Raises OSError.
    """
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)
