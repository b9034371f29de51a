"""One drive on the real metadata and the real vault, in memory, and short ways to speak to it.

Everything runs inline: under trio, under asyncio, or driven by hand, without a thread or a clock.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from backend_server.blocks.memory import MemoryStore
from backend_server.blocks.worker_threads import InlineThreads
from backend_server.domain.caller import Caller
from backend_server.metadata.connections import Connections
from backend_server.metadata.database import Database
from backend_server.metadata.drive_rows import NewDrive
from backend_server.metadata.executors import Executor, InlineExecutor
from backend_server.metadata.group_commit import GroupCommitter, WriteJob
from backend_server.metadata.migrate import upgrade_to_head
from backend_server.notify.change_hub import ChangeHub
from backend_server.protocol.blocks import encode_block
from backend_server.protocol.chunking import ChunkerParameters
from backend_server.protocol.commit_messages import (
    CommitAnswer,
    CommitRequest,
    CreateNode,
    DentryChange,
    InlineBlock,
    NewContent,
    Operation,
    PlaceNodes,
    SetAttributes,
    SetContent,
)
from backend_server.protocol.identity import AccountId, DeviceId, DriveId, chunk_id_of
from backend_server.protocol.limits import GIB
from backend_server.protocol.manifests import Entry, manifest_id_of, pack_entries, size_of
from backend_server.protocol.tree_messages import ChangesPage, NodeKind
from backend_server.services.announce_upload import AnnounceUpload
from backend_server.services.commit_operations import CommitOperations
from backend_server.services.compact_journal import CompactJournal
from backend_server.services.create_drive import create_drive
from backend_server.services.fetch_manifests import FetchManifests
from backend_server.services.key_wrap import (
    MasterKey,
    chunk_key_purpose,
    data_key_purpose,
    wrap_key,
)
from backend_server.services.load_changes import LoadChanges
from backend_server.services.load_snapshot_page import LoadSnapshotPage
from backend_server.services.poll_changes import PollChanges
from backend_server.services.reap_uploads import ReapUploads
from backend_server.services.vault import Vault

DRIVE = DriveId("00000000000000d1")
OWNER = Caller(AccountId(1), DeviceId(11))
OTHER_DEVICE = Caller(AccountId(1), DeviceId(12))
STRANGER = Caller(AccountId(2), DeviceId(21))
EPOCH = "00000000000000e1"
CHUNK_KEY = b"k" * 32
CURSOR_KEY = b"c" * 32
_MASTER = MasterKey(b"m" * 32)
FIRST_NODE = 1 << 20


@dataclass(slots=True)
class Clock:
    """A clock that stands until it is moved: by time (`now_ms += …`), or by a mistake (`set`)."""

    now_ms: int = 1_700_000_000_000
    set_by_ms: int = 0

    def __call__(self) -> int:
        return self.now_ms

    def set(self, by_ms: int) -> None:
        self.now_ms += by_ms
        self.set_by_ms += by_ms

    def elapsed_s(self) -> float:
        return (self.now_ms - self.set_by_ms) / 1000


@dataclass(slots=True)
class DriveKit:
    """One drive with its use cases."""

    database: Database
    vault: Vault
    hub: ChangeHub
    clock: Clock
    commit_operations: CommitOperations
    load_changes: LoadChanges
    load_snapshot_page: LoadSnapshotPage
    poll_changes: PollChanges
    announce_upload: AnnounceUpload
    reap_uploads: ReapUploads
    compact_journal: CompactJournal
    fetch_manifests: FetchManifests
    numbers: dict[int, int] = field(default_factory=dict)
    node_ids: "count[int]" = field(default_factory=lambda: count(FIRST_NODE))

    async def commit(
        self, *operations: Operation, caller: Caller = OWNER, answered_through: int = 0
    ) -> CommitAnswer:
        """Commit `operations`, numbered anew in order (groups stay)."""
        first = self.numbers.get(caller.device_id, 0) + 1
        numbered = renumbered(operations, first=first)
        answer = await self.commit_operations(
            caller, DRIVE, CommitRequest(answered_through, numbered)
        )
        self.numbers[caller.device_id] = first + len(operations) - 1
        return answer

    async def snapshot(self) -> list[ChangesPage]:
        pages = [await self.load_snapshot_page(OWNER, DRIVE, None)]
        while pages[-1].has_more:
            pages.append(await self.load_snapshot_page(OWNER, DRIVE, pages[-1].cursor))
        return pages

    async def changes(self, cursor: str) -> list[ChangesPage]:
        pages = [await self.load_changes(OWNER, DRIVE, cursor)]
        while pages[-1].has_more:
            pages.append(await self.load_changes(OWNER, DRIVE, pages[-1].cursor))
        return pages


async def open_drive(
    place: str | Path = ":memory:",
    *,
    quota_bytes: int = GIB,
    rows_max: int = 5000,
    executor: Callable[[Connections], Executor] = InlineExecutor,
) -> DriveKit:
    """Return a new, empty drive of `OWNER`."""
    database = Database.open(place, executor=executor)
    await database.write(make_schema)
    await database.write(lambda connection: create_drive(connection, new_drive(quota_bytes)))
    clock = Clock()
    hub = ChangeHub()
    vault = Vault(database, MemoryStore(), _MASTER, threads=InlineThreads())
    return DriveKit(
        database=database,
        vault=vault,
        hub=hub,
        clock=clock,
        commit_operations=CommitOperations(
            database, vault, hub, threads=InlineThreads(), clock_ms=clock
        ),
        load_changes=LoadChanges(
            database, cursor_key=CURSOR_KEY, clock_ms=clock, rows_max=rows_max
        ),
        load_snapshot_page=LoadSnapshotPage(database, cursor_key=CURSOR_KEY, rows_max=rows_max),
        poll_changes=PollChanges(database, hub, cursor_key=CURSOR_KEY),
        announce_upload=AnnounceUpload(database, clock_ms=clock),
        reap_uploads=ReapUploads(database, clock_ms=clock, clock_s=clock.elapsed_s),
        compact_journal=CompactJournal(database, clock_ms=clock, rows_at_once_max=3),
        fetch_manifests=FetchManifests(database),
    )


def make_schema(connection: Connection) -> None:
    """Make what the migrations make, in a hundredth of their time."""
    for statement in _migrated_schema():
        connection.exec_driver_sql(statement)


@cache
def _migrated_schema() -> tuple[str, ...]:
    def migrate_and_read(connection: Connection) -> tuple[str, ...]:
        upgrade_to_head(connection)
        rows = connection.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
        )
        return tuple(row[0] for row in rows)

    committer = GroupCommitter(Connections(":memory:").open_writer())
    job = WriteJob(migrate_and_read)
    committer.run([job])
    committer.close()
    assert job.result is not None, job.error
    return job.result


def new_drive(quota_bytes: int = GIB) -> NewDrive:
    return NewDrive(
        drive_id=DRIVE,
        kind="home",
        owner_account=OWNER.account_id,
        name="home",
        epoch=EPOCH,
        wrapped_chunk_key=wrap_key(CHUNK_KEY, master=_MASTER, purpose=chunk_key_purpose(DRIVE)),
        wrapped_data_key=wrap_key(b"d" * 32, master=_MASTER, purpose=data_key_purpose(DRIVE, 1)),
        chunker=msgspec.json.encode(ChunkerParameters()).decode(),
        quota_limit=quota_bytes,
        created_at_ms=1_700_000_000_000,
    )


def renumbered(operations: Sequence[Operation], *, first: int) -> list[Operation]:
    return [
        msgspec.structs.replace(operation, number=first + index)
        for index, operation in enumerate(operations)
    ]


def inline_content(
    data: bytes, *, upload_id: bytes = b"", base: bytes = b"", block: bytes = b""
) -> NewContent:
    """Return content of one chunk that travels inline (as `block` against `base` if given)."""
    if not data:
        return NewContent(b"", 0)
    chunk_id = chunk_id_of(data, chunk_key=CHUNK_KEY)
    entries = [Entry(chunk_id, len(data))]
    return NewContent(
        manifest_id_of(entries),
        len(data),
        entries=pack_entries(entries),
        inline=[InlineBlock(chunk_id, block or encode_block(data), base)],
        upload_id=upload_id,
    )


def listed_content(entries: Sequence[Entry]) -> NewContent:
    """Return content whose chunks are in the drive already."""
    return NewContent(manifest_id_of(entries), size_of(entries), entries=pack_entries(entries))


def create(
    parent: int,
    name: bytes,
    node_id: int,
    *,
    kind: NodeKind = NodeKind.FILE,
    content: NewContent | None = None,
    group: int = 0,
    ctime_ns: int = 10,
    target: bytes = b"",
) -> CreateNode:
    return CreateNode(
        number=0,
        group=group,
        parent=parent,
        name=name,
        node_id=node_id,
        kind=kind,
        mode=0o755 if kind is NodeKind.FOLDER else 0o644,
        uid=1000,
        gid=1000,
        mtime_ns=ctime_ns,
        ctime_ns=ctime_ns,
        target=target,
        content=content,
    )


def folder(parent: int, name: bytes, node_id: int, *, group: int = 0) -> CreateNode:
    return create(parent, name, node_id, kind=NodeKind.FOLDER, group=group)


def place(*changes: tuple[int, bytes, int, int], group: int = 0, ctime_ns: int = 20) -> PlaceNodes:
    """Each change is (parent, name, expected, node)."""
    return PlaceNodes(0, group, [DentryChange(*change) for change in changes], ctime_ns)


def set_content(
    node_id: int, base_revision: int, content: NewContent, *, group: int = 0
) -> SetContent:
    return SetContent(0, group, node_id, base_revision, content, mtime_ns=30, ctime_ns=30)


def set_attributes(
    node_id: int, base_version: int, *, mode: int = 0o600, group: int = 0
) -> SetAttributes:
    return SetAttributes(0, group, node_id, base_version, mode, 1, 2, mtime_ns=40, ctime_ns=40)
