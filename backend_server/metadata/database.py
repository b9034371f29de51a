"""The metadata door: synchronous work in, its result out, durable.

database = Database.open("/data/metadata.db")
await database.migrate()
drives = await database.read(lambda connection: load_drives(connection, account_id))
await database.write(lambda connection: store_drive(connection, drive))
await database.close()
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from backend_server.metadata.connections import Connections
from backend_server.metadata.errors import translate
from backend_server.metadata.executors import Executor, ThreadExecutor
from backend_server.metadata.group_commit import WriteJob
from backend_server.metadata.migrate import upgrade_to_head

T = TypeVar("T")


class Database:
    """One database. Safe to call from many tasks at once."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    @classmethod
    def open(
        cls,
        place: str | Path,
        *,
        executor: Callable[[Connections], Executor] = ThreadExecutor,
    ) -> "Database":
        """Return the database at `place`: a path, `:memory:`, or a `sqlite:` URL.

        Args:
            executor: `ThreadExecutor` beside asyncio, `InlineExecutor` in tests and simulations.

        Raises:
            MetadataError: It cannot be opened.
        """
        try:
            return cls(executor(Connections(str(place))))
        except DBAPIError as error:
            raise translate(error) or error from error

    async def migrate(self) -> None:
        """Bring the schema up to date, all of it or nothing. Idempotent. Durable on return."""
        await self.write(upgrade_to_head)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` returns, from one read transaction.

        `work` runs in another thread (or inline) and must only read.

        Raises:
            MetadataError: The database failed; or whatever `work` raised.
        """
        return await self._executor.read(work)

    async def write(
        self,
        work: Callable[[Connection], T],
        *,
        weight_bytes: int = 0,
        on_durable: Callable[[T], None] | None = None,
    ) -> T:
        """Return what `work` returns, after everything it wrote is durable.

        `work` runs once, inside a savepoint of a transaction that other writes may share; if it
        raises, what it wrote is taken back. A caller who is cancelled does not know whether the
        write was made.

        Args:
            weight_bytes: Roughly what it writes; bounds groups and what may wait.
            on_durable: Called in the event loop with the result once durable, also when the
                caller was cancelled meanwhile.

        Raises:
            MetadataError: The database failed; or whatever `work` raised.
        """
        return await self._executor.write(WriteJob(work, weight_bytes), on_durable)

    async def close(self) -> None:
        """Finish the writes that were accepted, refuse others, close. Idempotent."""
        await self._executor.close()
