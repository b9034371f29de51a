"""POST commits: makes new heads and changes the tree, compare-and-set, idempotent by number.

In three steps: what the drive knows already (one read), the contents made ready (no transaction,
away from the event loop when large), and one write that decides and stores. Only the write
decides; what was read before is held against the rows again.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from sqlalchemy import Connection

from backend_server.blocks.worker_threads import Threads
from backend_server.domain.caller import Caller
from backend_server.domain.numbering import check_numbering, count_repeated
from backend_server.domain.operation_shape import INLINE_BLOCKS_MAX, find_fault
from backend_server.domain.refusals import Refusal
from backend_server.domain.vault import ChunkVault
from backend_server.domain.verdicts import Rejection
from backend_server.metadata.database import Database
from backend_server.metadata.feed_rows import load_highest_number
from backend_server.metadata.manifest_rows import ManifestRow, load_manifests, load_packed_entries
from backend_server.notify.change_hub import ChangeHub
from backend_server.protocol.blocks import BlockMalformed, plaintext_length
from backend_server.protocol.commit_messages import (
    CommitAnswer,
    CommitRequest,
    CreateNode,
    Operation,
    PlaceNodes,
    SetContent,
)
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import ChunkId, DriveId
from backend_server.protocol.identity import Sequence as JournalSequence
from backend_server.protocol.limits import COMMIT_INLINE_BYTES_MAX, KIB, MIB
from backend_server.protocol.manifests import ENTRY_BYTES
from backend_server.services.authorize import authorize_drive
from backend_server.services.commit_transaction import Committed, PreparedCommit, run_commit
from backend_server.services.prepare_contents import (
    SPLICED_BYTES_MAX,
    ContentPreparation,
    KnownManifests,
    WithContent,
)

INLINE_PLAINTEXT_BYTES_MAX: Final = 64 * MIB
"""What all inline blocks of one commit may decode to."""
_BASES_AT_ONCE_MAX: Final = 32
"""Base chunks held at a time: 32 MiB at most."""
assert INLINE_BLOCKS_MAX <= _BASES_AT_ONCE_MAX
COMMIT_CHANGES_MAX: Final = 10_000
"""Dentries that one commit may change: the writer takes a tenth of a second for so many."""
_INLINE_WORK_BYTES: Final = 64 * KIB
"""Up to this, preparing (0.3 ms) costs less than the way to a thread and back."""
_ROW_WEIGHT_BYTES: Final = 1 * KIB


class CommitOperations:
    """Commits what devices did. Safe to call from many tasks at once."""

    def __init__(
        self,
        database: Database,
        vault: ChunkVault,
        hub: ChangeHub,
        *,
        threads: Threads,
        clock_ms: Callable[[], int],
    ) -> None:
        self._database = database
        self._vault = vault
        self._hub = hub
        self._threads = threads
        self._clock_ms = clock_ms

    async def __call__(
        self, caller: Caller, drive_id: DriveId, request: CommitRequest
    ) -> CommitAnswer:
        """Return one answer an operation, in order, and the quota after them.

        Durable on return. Idempotent: a number that was answered before gets the same answer. A
        caller who is cancelled may ask again with the same numbers.

        Raises:
            Refusal: NOT_FOUND, FORBIDDEN, MALFORMED, TOO_LARGE.
            MetadataError: The database failed; nothing was made.
        """
        check_numbering(request)
        _check_changes(request.operations)
        faults = {
            operation.number: fault
            for operation in request.operations
            if (fault := find_fault(operation)) is not None
        }
        with_content = _with_content(request.operations, faults)
        weight_bytes = _check_weight(with_content)
        repeated_count, known = await self._database.read(
            partial(
                _load_known,
                caller=caller,
                drive_id=drive_id,
                operations=request.operations,
                with_content=with_content,
            )
        )
        await self._vault.prepare(drive_id)
        preparation = ContentPreparation(
            known,
            chunk_key=self._vault.chunk_key(drive_id),
            seal=partial(self._vault.seal, drive_id),
        )
        new = [each for each in with_content if each.number >= _first_new(request, repeated_count)]
        for window in _windows(new):
            bases = await self._vault.load_plaintexts(drive_id, _bases_of(window))
            take = partial(preparation.take, window, bases)
            if weight_bytes <= _INLINE_WORK_BYTES:
                take()
            else:
                await self._threads.run(take)
        commit = PreparedCommit(request, faults, preparation.proposals, preparation.chunks)

        def work(connection: Connection) -> Committed:
            return run_commit(connection, caller, drive_id, commit, now_ms=self._clock_ms())

        committed: Committed = await self._database.write(
            work,
            weight_bytes=weight_bytes + _ROW_WEIGHT_BYTES * len(request.operations),
            on_durable=partial(self._publish, drive_id),
        )
        return committed.answer

    def _publish(self, drive_id: DriveId, committed: Committed) -> None:
        if committed.has_changed:
            self._hub.publish(drive_id, JournalSequence(committed.head_sequence))


def _with_content(
    operations: Sequence[Operation], faults: dict[int, Rejection]
) -> list[WithContent]:
    return [
        operation
        for operation in operations
        if isinstance(operation, CreateNode | SetContent)
        and operation.content is not None
        and operation.number not in faults
    ]


def _check_changes(operations: Sequence[Operation]) -> None:
    count = sum(len(each.changes) for each in operations if isinstance(each, PlaceNodes))
    if count > COMMIT_CHANGES_MAX:
        raise Refusal(ErrorCode.TOO_LARGE, f"At most {COMMIT_CHANGES_MAX} dentries a commit.")


def _check_weight(with_content: Sequence[WithContent]) -> int:
    """Return how many bytes of blocks and entries there are to work on.

    Raises:
        Refusal: TOO_LARGE.
    """
    inline_bytes = plaintext_bytes = entries_bytes = 0
    for operation in with_content:
        content = operation.content
        assert content is not None
        entries_bytes += len(content.entries)
        if content.splice is not None:
            # The base may be long; the read that finds it is not made yet.
            entries_bytes += _INLINE_WORK_BYTES
        for inline in content.inline:
            inline_bytes += len(inline.block)
            try:
                plaintext_bytes += plaintext_length(inline.block)
            except BlockMalformed:
                continue  # Its operation will be refused; it decodes to nothing.
    if inline_bytes > COMMIT_INLINE_BYTES_MAX or plaintext_bytes > INLINE_PLAINTEXT_BYTES_MAX:
        raise Refusal(ErrorCode.TOO_LARGE, "Too much content inside of one commit.")
    return plaintext_bytes + entries_bytes


def _load_known(
    connection: Connection,
    *,
    caller: Caller,
    drive_id: DriveId,
    operations: Sequence[Operation],
    with_content: Sequence[WithContent],
) -> tuple[int, KnownManifests]:
    """Return how many operations were answered before, and the manifests that are known."""
    authorize_drive(connection, caller, drive_id, for_change=True)
    highest = load_highest_number(connection, drive_id, caller.device_id)
    repeated_count = count_repeated(operations, highest_number=highest)
    manifest_ids: set[bytes] = set()
    base_ids: list[bytes] = []
    for operation in with_content:
        content = operation.content
        if content is None or operation.number <= highest:
            continue
        manifest_ids.add(content.manifest_id)
        if content.splice is not None:
            base_ids.append(content.splice.base_manifest)
    rows = load_manifests(connection, drive_id, manifest_ids.union(base_ids))
    bases: list[ManifestRow] = []
    bases_bytes = 0
    for base_id in dict.fromkeys(base_ids):
        row = rows.get(base_id)
        if row is not None:
            bases_bytes += row.entry_count * ENTRY_BYTES
            if bases and bases_bytes > SPLICED_BYTES_MAX:
                break
            bases.append(row)
    packed = load_packed_entries(connection, drive_id, bases)
    return repeated_count, KnownManifests(rows, packed)


def _first_new(request: CommitRequest, repeated_count: int) -> int:
    return request.operations[0].number + repeated_count if request.operations else 0


def _bases_of(operations: Sequence[WithContent]) -> set[ChunkId]:
    return {
        ChunkId(inline.base)
        for operation in operations
        if operation.content is not None
        for inline in operation.content.inline
        if inline.base
    }


def _windows(operations: Sequence[WithContent]) -> Iterator[list[WithContent]]:
    """Yield runs of operations that together need at most _BASES_AT_ONCE_MAX base chunks."""
    window: list[WithContent] = []
    base_count = 0
    for operation in operations:
        count = len(_bases_of([operation]))
        if window and base_count + count > _BASES_AT_ONCE_MAX:
            yield window
            window, base_count = [], 0
        window.append(operation)
        base_count += count
    if window:
        yield window
