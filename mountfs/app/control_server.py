"""Answers commands, on the event loop of the mount.

Bounded: so many commands at once, one short request each, and a peer that does not read is cut
off. Who may ask: whoever may enter the state folder (0700), and root.
"""

import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
import trio

from mountfs.app.control_messages import (
    REQUEST_BYTES_MAX,
    Event,
    Request,
    failed,
    socket_address,
)
from mountfs.errors import InvalidArgument, MountError

_LOG = logging.getLogger(__name__)

COMMANDS_MAX: Final = 16
PEER_TIMEOUT_S: Final = 5.0

Send = Callable[[Event], Awaitable[None]]
Answer = Callable[[Request, Send], Awaitable[None]]


async def serve_commands(
    path: Path,
    answer: Answer,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer on `path` until cancelled; started when commands can connect.

    `answer` sends the events of one request; a MountError that it raises is sent as `Failed`.
    """
    with trio.socket.from_stdlib_socket(_listen(path)) as listening:
        limit = trio.CapacityLimiter(COMMANDS_MAX)
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                connection, _ = await listening.accept()
                await nursery.start(_serve_one, connection, limit, answer)


def _listen(path: Path) -> socket.socket:
    # Whoever held the path before has ended: the state folder is locked.
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with socket_address(path) as address:
        listening.bind(address)
    path.chmod(0o600)
    listening.listen(COMMANDS_MAX)
    return listening


async def _serve_one(
    connection: trio.socket.SocketType,
    limit: trio.CapacityLimiter,
    answer: Answer,
    *,
    task_status: trio.TaskStatus[None],
) -> None:
    stream = trio.SocketStream(connection)

    async def send(event: Event) -> None:
        with trio.fail_after(PEER_TIMEOUT_S):
            await stream.send_all(msgspec.json.encode(event) + b"\n")

    async with stream:
        try:
            limit.acquire_on_behalf_of_nowait(connection)
        except trio.WouldBlock:
            task_status.started()
            return
        try:
            task_status.started()
            if not _is_ours(connection):
                return
            with trio.fail_after(PEER_TIMEOUT_S):
                line = await _receive_line(stream)
            if not line:
                return
            try:
                await answer(_decode(line), send)
            except MountError as error:
                await send(failed(error))
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            _LOG.info("a command went away before it was answered")
        finally:
            limit.release_on_behalf_of(connection)


def _decode(line: bytes) -> Request:
    try:
        return msgspec.json.decode(line, type=Request)
    except msgspec.DecodeError as error:
        raise InvalidArgument(f"not a request: {error}") from error


async def _receive_line(stream: trio.SocketStream) -> bytes:
    received = b""
    while b"\n" not in received and len(received) < REQUEST_BYTES_MAX:
        piece = await stream.receive_some(REQUEST_BYTES_MAX)
        if not piece:
            break
        received += piece
    return received.partition(b"\n")[0]


def _is_ours(connection: trio.socket.SocketType) -> bool:
    """Whether the peer is this user or root (unix(7), SO_PEERCRED)."""
    credentials = struct.Struct("3i")
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size)
    _, uid, _ = credentials.unpack(raw)
    return uid in (0, os.getuid())
