"""A commit that fails anywhere leaves nothing behind, and can be sent again."""

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, event

from backend_server.metadata.connections import Connections
from backend_server.metadata.errors import MetadataError, StorageFull
from backend_server.metadata.executors import InlineExecutor
from backend_server.metadata.group_commit import WriteJob
from backend_server.metadata.tables import catalogue
from backend_server.protocol.commit_messages import CommitRequest, Outcome
from backend_server.protocol.transfer_messages import UploadRequest
from drive_kit import (
    DRIVE,
    FIRST_NODE,
    OWNER,
    DriveKit,
    create,
    folder,
    inline_content,
    open_drive,
    place,
    renumbered,
    set_attributes,
    set_content,
)

T = TypeVar("T")


class InjectedFault(Exception):
    pass


class FaultyExecutor(InlineExecutor):
    """Fails the n-th statement of every write."""

    def __init__(self, connections: Connections) -> None:
        super().__init__(connections)
        self.fail_at_statement = 0
        self.fault_fired = False

    async def write(self, job: WriteJob[T], on_durable: Callable[[T], None] | None) -> T:
        work = job.work

        def failing(connection: Connection) -> T:
            statements = count(1)

            def before(*_: Any) -> None:
                if next(statements) == self.fail_at_statement:
                    self.fault_fired = True
                    raise InjectedFault

            event.listen(connection, "before_cursor_execute", before)
            try:
                return work(connection)
            finally:
                event.remove(connection, "before_cursor_execute", before)

        return await super().write(WriteJob(failing, job.weight_bytes), on_durable)


async def dump(kit: DriveKit) -> dict[str, list[tuple[Any, ...]]]:
    def work(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(table.select())), key=repr)
            for table in catalogue.sorted_tables
        }

    return await kit.database.read(work)


async def drive_with_a_tree(
    executor: Callable[[Connections], InlineExecutor], place_: str | Path = ":memory:"
) -> tuple[DriveKit, int]:
    kit = await open_drive(place_, executor=executor)
    answer = await kit.commit(
        folder(1, b"folder", FIRST_NODE),
        create(FIRST_NODE, b"file", FIRST_NODE + 1, content=inline_content(b"first")),
        create(1, b"gone", FIRST_NODE + 2, content=inline_content(b"second")),
    )
    return kit, answer.answers[1].sequence


async def test_a_fault_at_any_statement_leaves_nothing_behind() -> None:
    executors: list[FaultyExecutor] = []

    def faulty(connections: Connections) -> FaultyExecutor:
        executors.append(FaultyExecutor(connections))
        return executors[-1]

    kit, revision = await drive_with_a_tree(faulty)
    (executor,) = executors
    upload_id = b"u" * 16
    await kit.announce_upload(
        OWNER, DRIVE, UploadRequest(upload_id, FIRST_NODE + 1, revision, 100, [])
    )
    request = CommitRequest(
        2,
        renumbered(
            [
                set_content(
                    FIRST_NODE + 1, revision, inline_content(os.urandom(99), upload_id=upload_id)
                ),
                set_attributes(FIRST_NODE, 2),
                place((1, b"gone", FIRST_NODE + 2, 0), (FIRST_NODE, b"link", 0, FIRST_NODE + 1)),
                create(FIRST_NODE, b"new", FIRST_NODE + 3, content=inline_content(b"third")),
            ],
            first=4,
        ),
    )
    before = await dump(kit)
    for fail_at_statement in count(1):
        executor.fail_at_statement, executor.fault_fired = fail_at_statement, False
        try:
            answer = await kit.commit_operations(OWNER, DRIVE, request)
        except InjectedFault:
            assert await dump(kit) == before
            continue
        assert not executor.fault_fired
        break
    assert fail_at_statement > 15
    assert [each.outcome for each in answer.answers] == [Outcome.APPLIED] * 4
    assert answer.quota.reserved_bytes == 0


async def test_a_full_disk_refuses_the_commit_and_keeps_what_was(tmp_path: Path) -> None:
    kit, _ = await drive_with_a_tree(InlineExecutor, tmp_path / "metadata.db")

    def fill(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 3}")

    def make_room(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")

    await kit.database.write(fill)
    before = await dump(kit)
    request = CommitRequest(
        0,
        renumbered(
            [
                create(1, b"%d" % n, FIRST_NODE + 10 + n, content=inline_content(os.urandom(9000)))
                for n in range(20)
            ],
            first=4,
        ),
    )
    with pytest.raises(StorageFull):
        await kit.commit_operations(OWNER, DRIVE, request)
    assert await dump(kit) == before
    await kit.database.write(make_room)
    answer = await kit.commit_operations(OWNER, DRIVE, request)
    assert {each.outcome for each in answer.answers} == {Outcome.APPLIED}
    await kit.database.close()


async def test_jobs_that_shared_a_lost_transaction_all_hear_of_it(tmp_path: Path) -> None:
    """SQLite rolls back everything when the disk is full: no job of the group may be answered."""
    kit, _ = await drive_with_a_tree(InlineExecutor, tmp_path / "metadata.db")
    await kit.database.close()
    connections = Connections(str(tmp_path / "metadata.db"))
    executor = InlineExecutor(connections)
    committer = executor.committer
    filler = "INSERT INTO segments VALUES ('d', randomblob(32), randomblob(?))"

    def small(connection: Connection) -> str:
        connection.exec_driver_sql(filler, (10,))
        return "made"

    def rolled_back(connection: Connection) -> None:
        connection.exec_driver_sql("ROLLBACK")
        raise InjectedFault

    jobs: list[WriteJob[Any]] = [WriteJob(small), WriteJob(rolled_back), WriteJob(small)]
    committer.run(jobs)
    assert isinstance(jobs[0].error, MetadataError)
    assert isinstance(jobs[1].error, InjectedFault)
    assert isinstance(jobs[2].error, MetadataError)
    assert [job.result for job in jobs] == [None] * 3
    after = [WriteJob(small)]
    committer.run(after)
    assert after[0].result == "made"
    await executor.close()


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "SAVEPOINT job", "RELEASE job", "COMMIT"])
async def test_a_transaction_that_fails_fails_all_its_jobs_and_none_that_comes_after(
    tmp_path: Path, statement: str
) -> None:
    kit, _ = await drive_with_a_tree(InlineExecutor, tmp_path / "metadata.db")
    before = await dump(kit)
    await kit.database.close()
    executor = InlineExecutor(Connections(str(tmp_path / "metadata.db")))
    insert = "INSERT INTO segments VALUES ('d', randomblob(32), x'00')"
    jobs = [WriteJob(lambda connection: connection.exec_driver_sql(insert).close()) for _ in "ab"]

    def fail(*arguments: Any) -> None:
        if statement == "COMMIT" or statement in arguments:
            raise InjectedFault

    engine = executor.committer.engine
    hook = "commit" if statement == "COMMIT" else "before_cursor_execute"
    event.listen(engine, hook, fail)
    executor.committer.run(jobs)
    event.remove(engine, hook, fail)
    assert all(isinstance(job.error, MetadataError) for job in jobs)
    assert await executor.read(_count_segments) == len(before["segments"])
    after = WriteJob(lambda connection: connection.exec_driver_sql(insert).close())
    executor.committer.run([after])
    assert after.error is None
    assert await executor.read(_count_segments) == len(before["segments"]) + 1
    await executor.close()


def _count_segments(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT count(*) FROM segments").scalar_one())
