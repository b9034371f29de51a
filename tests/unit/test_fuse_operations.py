"""Handlers without a kernel: a deadline for each, and no exception but FUSEError."""

import errno
import logging
import os
import stat
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from memory_file_system import MemoryFileSystem
from mountfs.fuse.deadlines import LOOK_EVERY_S, RequestDeadlines
from mountfs.fuse.reading_turn import ReadingTurn
from mountfs.vfs.interface import Attributes, Handle, Inode

pyfuse3 = pytest.importorskip("pyfuse3")

from mountfs.fuse.operations import DEADLINE_S, READ_DEADLINE_S, Operations  # noqa: E402

NOBODY: Any = None
"""The caller, of handlers that do not look at it."""


class MisbehavingFileSystem(MemoryFileSystem):
    """Each misbehaviour has a name."""

    async def lookup(self, parent: Inode, name: bytes) -> Attributes:
        match name:
            case b"never":
                await trio.sleep_forever()
            case b"never-in-nursery":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.sleep_forever)
                    nursery.start_soon(trio.sleep_forever)
            case b"bug":
                raise ZeroDivisionError
            case b"group":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(super().lookup, parent, b"absent")
            case b"mixed":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(super().lookup, parent, b"absent")
                    raise ZeroDivisionError
            case b"own-deadline":
                with trio.fail_after(1):
                    await trio.sleep_forever()
        return await super().lookup(parent, name)

    async def read(self, handle: Handle, offset: int, length: int) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    def forget(self, forgotten: object) -> None:
        raise ZeroDivisionError


@pytest.fixture
def deadlines() -> RequestDeadlines:
    return RequestDeadlines()


@pytest.fixture
def operations(deadlines: RequestDeadlines) -> Operations:
    return Operations(MisbehavingFileSystem(), deadlines, ReadingTurn(), on_init=lambda: None)


async def _errno(deadlines: RequestDeadlines, call: Callable[[], Awaitable[object]]) -> int:
    """Return what a worker under `deadlines` would answer."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.watch)
        with deadlines.working(), pytest.raises(pyfuse3.FUSEError) as raised:
            await call()
        nursery.cancel_scope.cancel()
    assert isinstance(raised.value.errno, int)
    return raised.value.errno


@pytest.mark.parametrize("name", [b"never", b"never-in-nursery"])
async def test_a_handler_that_never_answers_is_answered_for(
    name: bytes,
    deadlines: RequestDeadlines,
    operations: Operations,
    autojump_clock: trio.testing.MockClock,
) -> None:
    began = trio.current_time()
    assert await _errno(deadlines, lambda: operations.lookup(1, name, NOBODY)) == errno.ETIMEDOUT
    assert DEADLINE_S <= trio.current_time() - began <= DEADLINE_S + LOOK_EVERY_S
    began = trio.current_time()
    assert await _errno(deadlines, lambda: operations.read(1, 0, 1)) == errno.ETIMEDOUT
    assert READ_DEADLINE_S <= trio.current_time() - began <= READ_DEADLINE_S + LOOK_EVERY_S


@pytest.mark.parametrize("name", [b"bug", b"mixed"])
async def test_a_bug_becomes_eio_and_is_logged_with_its_traceback(
    deadlines: RequestDeadlines,
    operations: Operations,
    name: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await _errno(deadlines, lambda: operations.lookup(1, name, NOBODY)) == errno.EIO
    assert "ZeroDivisionError" in caplog.text


async def test_a_bug_in_forget_ends_nothing(
    deadlines: RequestDeadlines, operations: Operations, caplog: pytest.LogCaptureFixture
) -> None:
    await operations.forget([(1, 1)])
    assert "ZeroDivisionError" in caplog.text


async def test_a_group_counts_as_what_is_in_it(
    deadlines: RequestDeadlines, operations: Operations
) -> None:
    assert await _errno(deadlines, lambda: operations.lookup(1, b"group", NOBODY)) == errno.ENOENT


async def test_an_absent_name_is_remembered_by_the_kernel(
    deadlines: RequestDeadlines, operations: Operations
) -> None:
    absent = await operations.lookup(1, b"absent", NOBODY)
    assert absent.st_ino == 0
    assert absent.entry_timeout > 1e6


async def test_a_deadline_inside_is_not_taken_for_ours(
    deadlines: RequestDeadlines,
    operations: Operations,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    began = trio.current_time()
    assert (
        await _errno(deadlines, lambda: operations.lookup(1, b"own-deadline", NOBODY)) == errno.EIO
    )
    assert trio.current_time() - began == 1
    assert "TooSlowError" in caplog.text


async def test_cancellation_from_outside_goes_through(
    deadlines: RequestDeadlines, operations: Operations
) -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(operations.lookup, 1, b"never", NOBODY)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught


async def test_attributes_reach_the_kernel_as_they_are() -> None:
    filesystem = MemoryFileSystem()
    operations = Operations(filesystem, RequestDeadlines(), ReadingTurn(), on_init=lambda: None)
    entry = await operations.getattr(1, NOBODY)
    attributes = await filesystem.get_attributes(Inode(1))
    assert stat.S_ISDIR(entry.st_mode)
    for name in ("mode", "nlink", "uid", "gid", "rdev", "atime_ns", "mtime_ns", "ctime_ns"):
        assert getattr(entry, f"st_{name}") == getattr(attributes, name), name
    assert entry.st_size == attributes.size_bytes
    assert entry.st_uid == os.getuid()


@pytest.mark.parametrize("flags", [4, 3, 1 << 20])
async def test_unknown_rename_flags_are_refused(
    deadlines: RequestDeadlines, operations: Operations, flags: int
) -> None:
    call = operations.rename(1, b"a", 1, b"b", flags, NOBODY)
    assert await _errno(deadlines, lambda: call) == errno.EINVAL


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
