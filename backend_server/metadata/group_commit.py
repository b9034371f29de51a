"""Many writes, one durability point.

A group of jobs runs in one transaction, each job inside a savepoint of its own, and is committed
once: one fsync for all of them. A job that fails takes back what it did and nothing else; a
COMMIT that fails fails every job of the group. No job is answered before the COMMIT.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from backend_server.metadata.connections import is_in_transaction
from backend_server.metadata.errors import MetadataError, MetadataUnavailable, translate

T = TypeVar("T")

GROUP_JOBS_MAX: Final = 64
GROUP_WEIGHT_BYTES_MAX: Final = 4 * 1024 * 1024


@dataclass(slots=True, eq=False)
class WriteJob(Generic[T]):
    """One piece of work for the writer, and what became of it.

    `error` is set if it was not made; otherwise `result` is what `work` returned, durably.
    """

    work: Callable[[Connection], T]
    weight_bytes: int = 0
    result: T | None = field(default=None, init=False)
    error: Exception | None = field(default=None, init=False)


class GroupCommitter:
    """Runs groups on the one connection that writes. One thread at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.engine = connection.engine

    def run(self, jobs: Sequence[WriteJob[Any]]) -> None:
        """Run `jobs` in order and commit them; each knows afterwards what became of it.

        Durable on return. Raises nothing, whatever a job or the database does: the thread that
        calls it must go on for those that come after.
        """
        try:
            with self._connection.begin():
                for job in jobs:
                    self._run_in_savepoint(job)
                    if not is_in_transaction(self._connection):
                        raise _GroupLost(job.error)
        except _GroupLost as lost:
            self._fail(jobs, lost.cause)
        except DBAPIError as error:
            self._fail(jobs, _translated(error))
        except Exception as error:  # noqa: BLE001 - see above
            self._fail(jobs, MetadataUnavailable(f"the transaction failed: {error!r}"))

    def _fail(self, jobs: Sequence[WriteJob[Any]], error: Exception) -> None:
        """Answer every job that nothing was made, and leave a connection that works."""
        for job in jobs:
            job.result = None
            if job.error is None:
                job.error = error
        if is_in_transaction(self._connection):
            # Rolling back failed as well: this connection has had it. The next use opens another.
            self._connection.invalidate()

    def _run_in_savepoint(self, job: WriteJob[Any]) -> None:
        connection = self._connection
        connection.exec_driver_sql("SAVEPOINT job")
        try:
            job.result = job.work(connection)
        except Exception as error:  # noqa: BLE001 - it belongs to the caller, who gets it
            job.error = _translated(error) if isinstance(error, DBAPIError) else error
            if is_in_transaction(connection):
                connection.exec_driver_sql("ROLLBACK TO job")
        if is_in_transaction(connection):
            connection.exec_driver_sql("RELEASE job")

    def close(self) -> None:
        """Close the connection; the log is folded into the database first where possible."""
        self._connection.close()


class _GroupLost(Exception):
    """SQLite rolled the whole transaction back (full disk, I/O error) while a job ran."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        # What a job raised by itself is that job's alone.
        self.cause = (
            error
            if isinstance(error, MetadataError)
            else MetadataUnavailable("the transaction was rolled back")
        )


def _translated(error: DBAPIError) -> Exception:
    return translate(error) or error
