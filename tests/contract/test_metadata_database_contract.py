"""What every way of running the metadata door promises."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from backend_server.metadata import migrations
from backend_server.metadata.connections import Connections
from backend_server.metadata.database import Database
from backend_server.metadata.errors import (
    ConstraintViolated,
    MetadataCorrupt,
    MetadataUnavailable,
)
from backend_server.metadata.executors import Executor, InlineExecutor, ThreadExecutor
from backend_server.metadata.tables import accounts, catalogue

Scenario = Callable[[Database], Awaitable[None]]
EXECUTORS = [InlineExecutor, ThreadExecutor]


def run(scenario: Scenario, place: Path, executor: Callable[[Connections], Executor]) -> None:
    async def main() -> None:
        database = Database.open(place / "metadata.db", executor=executor)
        try:
            await database.migrate()
            await scenario(database)
        finally:
            await database.close()

    asyncio.run(main())


@pytest.fixture(params=EXECUTORS, ids=lambda executor: executor.__name__)
def executor(request: pytest.FixtureRequest) -> Callable[[Connections], Executor]:
    chosen: Callable[[Connections], Executor] = request.param
    return chosen


def add(email: str) -> Callable[[Connection], str]:
    def work(connection: Connection) -> str:
        connection.execute(accounts.insert().values(email=email, password_hash="", created_at_ms=0))
        return email

    return work


def emails(connection: Connection) -> set[str]:
    return set(connection.scalars(accounts.select().with_only_columns(accounts.c.email)))


def test_a_read_sees_what_a_write_answered(
    tmp_path: Path, executor: Callable[[Connections], Executor]
) -> None:
    async def scenario(database: Database) -> None:
        for index in range(20):
            assert await database.write(add(f"{index}")) == f"{index}"
            assert f"{index}" in await database.read(emails)

    run(scenario, tmp_path, executor)


def test_many_writes_at_once_are_all_made(
    tmp_path: Path, executor: Callable[[Connections], Executor]
) -> None:
    async def scenario(database: Database) -> None:
        names = [f"{index}" for index in range(300)]
        assert await asyncio.gather(*(database.write(add(name)) for name in names)) == names
        assert await database.read(emails) == set(names)

    run(scenario, tmp_path, executor)


def test_a_job_that_fails_takes_back_its_own_rows_only(
    tmp_path: Path, executor: Callable[[Connections], Executor]
) -> None:
    class Failure(Exception):
        pass

    def fail(connection: Connection) -> None:
        add("half done")(connection)
        raise Failure

    async def scenario(database: Database) -> None:
        results = await asyncio.gather(
            database.write(add("before")),
            database.write(fail),
            database.write(add("after")),
            database.write(add("before")),
            return_exceptions=True,
        )
        assert results[0] == "before"
        assert isinstance(results[1], Failure)
        assert results[2] == "after"
        assert isinstance(results[3], ConstraintViolated)
        assert await database.read(emails) == {"before", "after"}

    run(scenario, tmp_path, executor)


def test_on_durable_hears_of_made_writes_only(
    tmp_path: Path, executor: Callable[[Connections], Executor]
) -> None:
    async def scenario(database: Database) -> None:
        heard: list[str] = []
        await database.write(add("a"), on_durable=heard.append)
        with pytest.raises(ConstraintViolated):
            await database.write(add("a"), on_durable=heard.append)
        assert heard == ["a"]

    run(scenario, tmp_path, executor)


def test_a_closed_database_refuses_and_what_it_accepted_is_there(
    tmp_path: Path, executor: Callable[[Connections], Executor]
) -> None:
    async def scenario(database: Database) -> None:
        accepted = [asyncio.ensure_future(database.write(add(f"{n}"))) for n in range(50)]
        await asyncio.sleep(0)
        await database.close()
        assert [await each for each in accepted] == [f"{n}" for n in range(50)]
        for refused in (database.write(add("late")), database.read(emails)):
            with pytest.raises(MetadataUnavailable):
                await refused
        again = Database.open(tmp_path / "metadata.db", executor=executor)
        assert await again.read(emails) == {f"{n}" for n in range(50)}
        await again.close()

    run(scenario, tmp_path, executor)


def test_a_file_that_is_no_database_says_so(
    tmp_path: Path, executor: Callable[[Connections], Executor]
) -> None:
    (tmp_path / "metadata.db").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(MetadataCorrupt):
        Database.open(tmp_path / "metadata.db", executor=executor)


def test_what_the_first_schema_held_is_kept(tmp_path: Path) -> None:
    """Nodes and revisions of before are no conflicts and no merges."""

    def first_schema(connection: Connection) -> None:
        _upgrade(connection, "0001")
        connection.exec_driver_sql(
            "INSERT INTO nodes (drive_id, node_id, sequence, kind, mode, uid, gid, mtime_ns, "
            "ctime_ns, attributes_version, size_bytes, revision, manifest_id, entries, target, "
            "rdev, charged_bytes, created_at_ms) "
            "VALUES ('d', 7, 1, 1, 420, 0, 0, 0, 0, 1, 0, 1, x'', x'', x'', 0, 0, 0)"
        )
        connection.exec_driver_sql(
            "INSERT INTO revisions (drive_id, node_id, revision, manifest_id, size_bytes, "
            "charged_bytes, device_id, committed_at_ms) VALUES ('d', 7, 1, x'', 0, 0, 1, 0)"
        )

    def kept(connection: Connection) -> list[tuple[object, ...]]:
        return [
            tuple(row)
            for statement in (
                "SELECT node_id, conflict_of, conflict_device, conflict_at_ns FROM nodes",
                "SELECT node_id, merged_from FROM revisions",
            )
            for row in connection.exec_driver_sql(statement)
        ]

    async def main() -> None:
        database = Database.open(tmp_path / "metadata.db", executor=InlineExecutor)
        try:
            await database.write(first_schema)
            await database.migrate()
            assert await database.read(kept) == [(7, 0, "", 0), (7, 0)]
            assert await database.write(_differences) == []
        finally:
            await database.close()

    asyncio.run(main())


def _upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def test_migrating_again_changes_nothing_and_ends_at_the_tables_as_written(
    tmp_path: Path, executor: Callable[[Connections], Executor]
) -> None:
    async def scenario(database: Database) -> None:
        await database.write(add("kept"))
        await database.migrate()
        assert await database.read(emails) == {"kept"}
        assert await database.write(_differences) == []

    run(scenario, tmp_path, executor)


def _differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), catalogue))


def test_writes_that_wait_together_are_one_transaction(tmp_path: Path) -> None:
    """The writer is held at its first job; what gathers meanwhile is committed as one group."""
    held, begun = threading.Event(), threading.Event()
    transactions: list[str] = []

    def hold(connection: Connection) -> None:
        begun.set()
        assert held.wait(timeout=30)

    def note(connection: Connection) -> None:
        transactions.append(str(id(connection.get_transaction())))

    async def scenario(database: Database) -> None:
        first = asyncio.ensure_future(database.write(hold))
        await asyncio.to_thread(begun.wait, 30)
        together = [asyncio.ensure_future(database.write(note)) for _ in range(30)]
        await asyncio.sleep(0)
        held.set()
        await asyncio.gather(first, *together)
        assert len(transactions) == 30
        assert len(set(transactions)) == 1

    run(scenario, tmp_path, ThreadExecutor)


def test_a_write_whose_caller_left_before_its_turn_is_not_made(tmp_path: Path) -> None:
    held, begun = threading.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        begun.set()
        assert held.wait(timeout=30)

    async def scenario(database: Database) -> None:
        first = asyncio.ensure_future(database.write(hold))
        await asyncio.to_thread(begun.wait, 30)
        left = asyncio.ensure_future(database.write(add("left")))
        await asyncio.sleep(0)
        left.cancel()
        held.set()
        await first
        await database.write(add("stayed"))
        assert await database.read(emails) == {"stayed"}

    run(scenario, tmp_path, ThreadExecutor)


def test_a_write_whose_caller_leaves_while_it_runs_is_made_and_heard_of(tmp_path: Path) -> None:
    held, begun = threading.Event(), threading.Event()
    heard: list[str] = []

    def hold_then_add(connection: Connection) -> str:
        begun.set()
        assert held.wait(timeout=30)
        return add("made")(connection)

    async def scenario(database: Database) -> None:
        leaving = asyncio.ensure_future(database.write(hold_then_add, on_durable=heard.append))
        await asyncio.to_thread(begun.wait, 30)
        leaving.cancel()
        held.set()
        await database.write(lambda connection: None)
        assert heard == ["made"]
        assert await database.read(emails) == {"made"}

    run(scenario, tmp_path, ThreadExecutor)
