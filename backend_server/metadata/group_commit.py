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

    def run(self, jobs: Sequence[WriteJob[Any]]) -> None:
        """Run `jobs` in order and commit them; each knows afterwards what became of it.

        Durable on return. Raises nothing that a job or the database did.
        """
        connection = self._connection
        try:
            transaction = connection.begin()
        except DBAPIError as error:
            connection.rollback()
            _fail_all(jobs, _translated(error))
            return
        try:
            for job in jobs:
                self._run_in_savepoint(job)
                if not is_in_transaction(connection):
                    raise _GroupLost(job.error)
            transaction.commit()
        except _GroupLost as lost:
            transaction.rollback()
            _fail_all(jobs, lost.cause)
        except DBAPIError as error:
            transaction.rollback()
            _fail_all(jobs, _translated(error))

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


def _fail_all(jobs: Sequence[WriteJob[Any]], error: Exception) -> None:
    for job in jobs:
        job.result = None
        if job.error is None:
            job.error = error
