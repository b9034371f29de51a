"""Where the door's synchronous work runs.

    ThreadExecutor     beside asyncio: one writer thread, a few reader threads
    InlineExecutor     in the caller's own task, under any event loop: tests and simulations
    InspectingExecutor likewise, and leaves every byte of the database as it is

The first two run jobs through the same `GroupCommitter`.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from backend_server.metadata.connections import Connections
from backend_server.metadata.errors import (
    MetadataBusy,
    MetadataClosed,
    translate,
)
from backend_server.metadata.group_commit import (
    GROUP_JOBS_MAX,
    GROUP_WEIGHT_BYTES_MAX,
    GroupCommitter,
    WriteJob,
)

T = TypeVar("T")

READER_THREADS: Final = 4
READS_WAITING_MAX: Final = 4096
WRITES_WAITING_MAX: Final = 1024
WRITES_WAITING_WEIGHT_BYTES_MAX: Final = 128 * 1024 * 1024


class Executor(Protocol):
    """Runs reads and writes of one database."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` returns, from one read transaction."""
        ...

    async def write(self, job: WriteJob[T], on_durable: Callable[[T], None] | None) -> T:
        """Return what the job returned, after it is durable.

        `on_durable` is called with that in the caller's event loop, also when the caller was
        cancelled while it waited.
        """
        ...

    async def close(self) -> None:
        """Finish every write that was accepted, then close. Idempotent."""
        ...


class InlineExecutor:
    """Runs everything where it stands. No checkpoint: other tasks see each write whole."""

    def __init__(self, connections: Connections) -> None:
        writer = connections.open_writer()
        self.committer = GroupCommitter(writer)
        self._reader = connections.open_reader()
        self._is_closed = False

    async def read(self, work: Callable[[Connection], T]) -> T:
        if self._is_closed:
            raise MetadataClosed("the database is closed")
        return _read(self._reader, work)

    async def write(self, job: WriteJob[T], on_durable: Callable[[T], None] | None) -> T:
        if self._is_closed:
            raise MetadataClosed("the database is closed")
        self.committer.run([job])
        if job.error is not None:
            raise job.error
        result = cast(T, job.result)
        if on_durable is not None:
            on_durable(result)
        return result

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._reader.close()
            self.committer.close()


class InspectingExecutor:
    """Reads where it stands, and only reads; beside a running server too. No checkpoint."""

    def __init__(self, connections: Connections) -> None:
        self._reader = connections.open_inspector()

    async def read(self, work: Callable[[Connection], T]) -> T:
        return _read(self._reader, work)

    async def write(self, job: WriteJob[T], on_durable: Callable[[T], None] | None) -> T:
        raise AssertionError("whoever inspects a database does not write it")

    async def close(self) -> None:
        self._reader.close()


class ThreadExecutor:
    """One writer thread and a few reader threads beside asyncio.

    The writer takes what has gathered while it committed: the busier, the larger its groups. At
    most WRITES_WAITING_MAX jobs wait; one more is refused with `MetadataBusy`. A write whose
    caller is cancelled before the writer took it is not made; after that it is.
    """

    def __init__(self, connections: Connections) -> None:
        if connections.is_in_memory:
            raise ValueError("a database in memory has one connection: use InlineExecutor")
        self._connections = connections
        self._committer = GroupCommitter(connections.open_writer())
        self._waiting: deque[_Waiting] = deque()
        self._waiting_weight_bytes = 0
        self._condition = threading.Condition()
        self._is_closing = False
        self._writer = threading.Thread(target=self._write_loop, name="metadata-writer")
        self._writer.daemon = True
        self._writer.start()
        self._of_thread = threading.local()
        self._readers: list[Connection] = []
        self._reading_count = 0
        self._pool = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="metadata-reader")

    async def read(self, work: Callable[[Connection], T]) -> T:
        if self._is_closing:
            raise MetadataClosed("the database is closed")
        if self._reading_count >= READS_WAITING_MAX:
            raise MetadataBusy("too many reads are waiting")
        self._reading_count += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._read_in_thread, work)
        finally:
            self._reading_count -= 1

    async def write(self, job: WriteJob[T], on_durable: Callable[[T], None] | None) -> T:
        loop = asyncio.get_running_loop()
        waiting = _Waiting(job, loop, loop.create_future(), on_durable)
        with self._condition:
            if self._is_closing:
                raise MetadataClosed("the database is closed")
            weight_bytes = self._waiting_weight_bytes + job.weight_bytes
            if len(self._waiting) >= WRITES_WAITING_MAX or (
                self._waiting and weight_bytes > WRITES_WAITING_WEIGHT_BYTES_MAX
            ):
                raise MetadataBusy("too many writes are waiting")
            self._waiting.append(waiting)
            self._waiting_weight_bytes = weight_bytes
            self._condition.notify()
        return cast(T, await waiting.future)

    async def close(self) -> None:
        with self._condition:
            self._is_closing = True
            self._condition.notify()
        await asyncio.to_thread(self._join)

    def _join(self) -> None:
        self._writer.join()
        self._pool.shutdown(wait=True)
        while self._readers:
            self._readers.pop().close()
        self._committer.close()

    def _read_in_thread(self, work: Callable[[Connection], T]) -> T:
        connection: Connection | None = getattr(self._of_thread, "connection", None)
        if connection is None:
            try:
                connection = self._of_thread.connection = self._connections.open_reader()
            except DBAPIError as error:
                raise translate(error) or error from error
            self._readers.append(connection)
        return _read(connection, work)

    def _write_loop(self) -> None:
        while True:
            with self._condition:
                while not self._waiting and not self._is_closing:
                    self._condition.wait()
                group = self._take_group()
                if not group and not self._waiting and self._is_closing:
                    return
            if not group:
                continue
            self._committer.run([waiting.job for waiting in group])
            for loop in {waiting.loop for waiting in group}:
                answered = [waiting for waiting in group if waiting.loop is loop]
                try:
                    loop.call_soon_threadsafe(_answer, answered)
                except RuntimeError:
                    # The loop ended before its answer: nobody is left to hear it.
                    continue

    def _take_group(self) -> "list[_Waiting]":
        group: list[_Waiting] = []
        weight_bytes = 0
        while self._waiting and len(group) < GROUP_JOBS_MAX:
            weight_bytes += self._waiting[0].job.weight_bytes
            if group and weight_bytes > GROUP_WEIGHT_BYTES_MAX:
                break
            waiting = self._waiting.popleft()
            self._waiting_weight_bytes -= waiting.job.weight_bytes
            if not waiting.future.cancelled():
                group.append(waiting)
        return group


class _Waiting:
    """A write on its way through the writer thread."""

    __slots__ = ("future", "job", "loop", "on_durable")

    def __init__(
        self,
        job: WriteJob[Any],
        loop: asyncio.AbstractEventLoop,
        future: asyncio.Future[Any],
        on_durable: Callable[[Any], None] | None,
    ) -> None:
        self.job = job
        self.loop = loop
        self.future = future
        self.on_durable = on_durable


def _answer(answered: list[_Waiting]) -> None:
    for waiting in answered:
        job = waiting.job
        if job.error is None and waiting.on_durable is not None:
            waiting.on_durable(job.result)
        if waiting.future.cancelled():
            continue
        if job.error is None:
            waiting.future.set_result(job.result)
        else:
            waiting.future.set_exception(job.error)


def _read(connection: Connection, work: Callable[[Connection], T]) -> T:
    try:
        with connection.begin():
            return work(connection)
    except DBAPIError as error:
        raise translate(error) or error from error
