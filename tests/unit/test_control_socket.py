"""Commands and mounts understand each other over the socket, and neither hangs on the other."""

import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from mountfs.app.control_client import (
    NotServed,
    ask_conflicts,
    ask_status,
    ask_stop,
    ask_sync,
)
from mountfs.app.control_messages import (
    REQUEST_BYTES_MAX,
    ConflictsAnswer,
    Done,
    Event,
    Progress,
    Request,
    error_of,
    failed,
    socket_address,
)
from mountfs.app.control_server import COMMANDS_MAX, Answer, Send, serve_commands
from mountfs.app.registry import RunningMount
from mountfs.app.status import Conflict, Parked, Queue
from mountfs.errors import (
    DeviceRevoked,
    MountError,
    Offline,
    QuotaExceeded,
    RequestRefused,
    SetupError,
)
from mountfs.fuse.mounting import MountBusy

PARKED = [Parked("big\udcff".encode(errors="backslashreplace").decode(), "quota exceeded")]


def _mount(path: Path) -> RunningMount:
    return RunningMount(
        mount_point="/mnt/drive",
        control_socket=str(path),
        state_folder=str(path.parent),
        log_file="/var/log/drive.log",
        pid=1,
    )


@asynccontextmanager
async def _answering(path: Path, answer: Answer) -> AsyncIterator[RunningMount]:
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_commands, path, answer)
        with trio.fail_after(20):
            yield _mount(path)
        nursery.cancel_scope.cancel()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Longer than the address of a Unix socket may be."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    return folder / "control.sock"


async def test_progress_and_then_the_answer(path: Path) -> None:
    async def answer(request: Request, send: Send) -> None:
        assert request == Request("sync")
        for left in (2, 1):
            await send(Progress(Queue(left, left * 10), online=True))
        await send(Done(PARKED))

    told: list[Progress] = []
    async with _answering(path, answer) as mount:
        done = await trio.to_thread.run_sync(ask_sync, mount, told.append)
    assert done == Done(PARKED)
    assert [progress.queue.operations for progress in told] == [2, 1]


async def test_a_stop_returns_when_the_process_is_gone(path: Path) -> None:
    is_over = trio.Event()

    async def answer(request: Request, send: Send) -> None:
        assert request == Request("stop", now=True)
        await send(Done([], left=Queue(1, 1)))
        await trio.sleep(0.05)
        is_over.set()

    async with _answering(path, answer) as mount:
        done = await trio.to_thread.run_sync(
            lambda: ask_stop(mount, now=True, on_progress=lambda _: None)
        )
        assert is_over.is_set()
    assert done.left == Queue(1, 1)


@pytest.mark.parametrize(
    "error",
    [
        Offline("away"),
        DeviceRevoked("revoked"),
        QuotaExceeded("full"),
        SetupError("wrong", remedy="do it right"),
        MountBusy("in use by editor", remedy="close it"),
    ],
)
async def test_an_error_arrives_as_what_it_is(path: Path, error: MountError) -> None:
    async def answer(request: Request, send: Send) -> None:
        raise error

    async with _answering(path, answer) as mount:
        with pytest.raises(MountError) as raised:
            await trio.to_thread.run_sync(ask_status, mount)
    assert str(raised.value) == str(error)
    assert isinstance(error, type(raised.value))
    assert getattr(raised.value, "remedy", "") == getattr(error, "remedy", "")


def test_an_error_that_needs_more_than_a_message_arrives_as_its_ancestor() -> None:
    from backend_server.protocol.errors import ErrorCode

    error = RequestRefused(ErrorCode.FORBIDDEN, "not yours")
    assert str(error_of(failed(error))) == "not yours"


async def test_nobody_answers(path: Path) -> None:
    with pytest.raises(NotServed, match="/mnt/drive") as raised:
        await trio.to_thread.run_sync(ask_status, _mount(path))
    assert "/var/log/drive.log" in raised.value.remedy


async def test_a_mount_that_dies_while_asked(path: Path) -> None:
    async def answer(request: Request, send: Send) -> None:
        await send(Progress(Queue(1, 1), online=True))

    async with _answering(path, answer) as mount:
        with pytest.raises(NotServed):
            await trio.to_thread.run_sync(ask_sync, mount, lambda _: None)


def _say(path: Path, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection, socket_address(path) as address:
        connection.settimeout(10)
        connection.connect(address)
        connection.sendall(data)
        return connection.recv(1 << 16)


async def test_conflicts_are_told_in_as_many_answers_as_they_need(path: Path) -> None:
    copies = [Conflict(f"{number} (conflict of x)") for number in range(5)]
    left = list(copies)

    async def answer(request: Request, send: Send) -> None:
        assert request.verb == "conflicts"
        await send(ConflictsAnswer(left[request.skip :][:2], len(left)))
        if request.skip == 2:
            left.pop()  # one is settled meanwhile

    async with _answering(path, answer) as mount:
        assert await trio.to_thread.run_sync(ask_conflicts, mount) == copies[:4]
        assert await trio.to_thread.run_sync(ask_conflicts, mount) == copies[:4]
        left.clear()
        assert await trio.to_thread.run_sync(ask_conflicts, mount) == []


async def test_nonsense_is_refused_and_the_next_command_served(path: Path) -> None:
    async def answer(request: Request, send: Send) -> None:
        await send(Done())

    async with _answering(path, answer) as mount:
        for nonsense in (b"nonsense\n", b'{"verb": "format"}\n', b"x" * (2 * REQUEST_BYTES_MAX)):
            try:
                said = await trio.to_thread.run_sync(_say, path, nonsense)
            except ConnectionResetError:
                continue  # it was too long to be read to its end
            assert b"not a request" in said
        assert await trio.to_thread.run_sync(ask_sync, mount, lambda _: None) == Done()


def _is_cut_off(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


async def test_more_commands_than_a_mount_serves_at_once_are_turned_away(path: Path) -> None:
    async def answer(request: Request, send: Send) -> None:
        await trio.sleep_forever()

    waiting: list[socket.socket] = []

    def connect() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(10)
        with socket_address(path) as address:
            connection.connect(address)
        with contextlib.suppress(BrokenPipeError):  # turned away already
            connection.sendall(b'{"verb": "sync"}\n')
        return connection

    async with _answering(path, answer):
        try:
            for _ in range(COMMANDS_MAX + 1):
                waiting.append(await trio.to_thread.run_sync(connect))
            assert await trio.to_thread.run_sync(_is_cut_off, waiting[-1])
        finally:
            for connection in waiting:
                connection.close()


async def test_the_socket_is_private(path: Path) -> None:
    async def answer(request: Request, send: Send) -> None:
        raise AssertionError

    async with _answering(path, answer):
        found = await trio.Path(path).stat()
        assert found.st_mode & 0o077 == 0


def test_every_event_says_what_it_is() -> None:
    import msgspec

    events: list[Event] = [Progress(Queue(), online=True), Done(), failed(Offline("away"))]
    assert [msgspec.to_builtins(event)["event"] for event in events] == [
        "progress",
        "done",
        "failed",
    ]
