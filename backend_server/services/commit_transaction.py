"""The transaction of a commit: load set-wise, decide in memory, store set-wise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from backend_server.domain.caller import Caller
from backend_server.domain.commit import CommitPlan, decide_commit
from backend_server.domain.footprint import footprint_of
from backend_server.domain.numbering import count_repeated
from backend_server.domain.proposals import Proposal, decide_content
from backend_server.domain.refusals import Refusal
from backend_server.domain.tree import Quota, Tree
from backend_server.domain.verdicts import Rejection
from backend_server.metadata.chunk_rows import (
    InlineChunk,
    load_stored_lengths,
    store_inline_chunks,
)
from backend_server.metadata.commit_rows import (
    forget_answers,
    load_answers,
    store_answers,
    store_journal,
)
from backend_server.metadata.drive_rows import load_drive, store_drive_counters
from backend_server.metadata.feed_rows import load_highest_number
from backend_server.metadata.manifest_rows import (
    load_lost_of_manifests,
    load_manifests,
    store_manifests,
)
from backend_server.metadata.tree_rows import load_into_tree, store_tree
from backend_server.metadata.upload_rows import delete_uploads, load_reservations
from backend_server.protocol.commit_messages import (
    CommitAnswer,
    CommitRequest,
    Operation,
    OperationAnswer,
    Outcome,
    SetContent,
)
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import ChunkId, DriveId
from backend_server.protocol.manifests import EMPTY_MANIFEST
from backend_server.protocol.tree_messages import QuotaState
from backend_server.services.authorize import authorize_drive


@dataclass(frozen=True, slots=True)
class PreparedCommit:
    """A request whose contents are ready.

    `faults` and `proposals` are by operation number; `chunks` came inline, verified and sealed.
    """

    request: CommitRequest
    faults: Mapping[int, Rejection]
    proposals: Mapping[int, Proposal | Rejection]
    chunks: Mapping[ChunkId, InlineChunk]


@dataclass(frozen=True, slots=True)
class Committed:
    """The answer, and where the drive's journal ends now. `has_changed`: by this commit."""

    answer: CommitAnswer
    head_sequence: int
    has_changed: bool


def run_commit(
    connection: Connection,
    caller: Caller,
    drive_id: DriveId,
    commit: PreparedCommit,
    *,
    now_ms: int,
) -> Committed:
    """Make the operations that were not answered before, and answer all of them.

    Raises:
        Refusal: NOT_FOUND, FORBIDDEN, MALFORMED.
    """
    authorize_drive(connection, caller, drive_id, for_change=True)
    drive = load_drive(connection, drive_id, for_change=True)
    operations = commit.request.operations
    highest = load_highest_number(connection, drive_id, caller.device_id)
    repeated = operations[: count_repeated(operations, highest_number=highest)]
    answers = _load_kept_answers(connection, caller, drive_id, repeated)
    fresh = operations[len(repeated) :]
    tree = Tree(
        drive.head_sequence, Quota(drive.quota_limit, drive.quota_used, drive.quota_reserved)
    )
    if fresh:
        highest = fresh[-1].number
        answers += _commit_fresh(connection, caller, drive_id, commit, fresh, tree, now_ms=now_ms)
    if commit.request.answered_through > highest:
        raise Refusal(ErrorCode.MALFORMED, "Operations that never came are said to be answered.")
    forget_answers(connection, drive_id, caller.device_id, commit.request.answered_through)
    quota = QuotaState(tree.quota.limit, tree.quota.used, tree.quota.reserved)
    return Committed(
        CommitAnswer(answers, quota), tree.sequence, tree.sequence > drive.head_sequence
    )


def _load_kept_answers(
    connection: Connection, caller: Caller, drive_id: DriveId, repeated: Sequence[Operation]
) -> list[OperationAnswer]:
    if not repeated:
        return []
    first, last = repeated[0].number, repeated[-1].number
    answers = load_answers(connection, drive_id, caller.device_id, first, last)
    if len(answers) != len(repeated):
        raise Refusal(ErrorCode.MALFORMED, "The device said that it has these answers.")
    return answers


def _commit_fresh(
    connection: Connection,
    caller: Caller,
    drive_id: DriveId,
    commit: PreparedCommit,
    fresh: Sequence[Operation],
    tree: Tree,
    *,
    now_ms: int,
) -> list[OperationAnswer]:
    proposals = {
        operation.number: commit.proposals[operation.number]
        for operation in fresh
        if operation.number in commit.proposals
    }
    accepted = [each for each in proposals.values() if isinstance(each, Proposal)]
    wanted = dict.fromkeys(chunk_id for each in accepted for chunk_id in each.chunk_lengths)
    stored = load_stored_lengths(connection, drive_id, list(wanted))
    manifests = load_manifests(connection, drive_id, {each.relies_on for each in accepted})
    available = {chunk_id: chunk.length for chunk_id, chunk in commit.chunks.items()} | stored
    load_into_tree(
        connection,
        drive_id,
        tree,
        footprint_of(each for each in fresh if each.number not in commit.faults),
    )
    upload_ids = {each.content.upload_id for each in accepted if each.content.upload_id}
    tree.reservations = load_reservations(connection, drive_id, caller.device_id, upload_ids)
    heads = _heads_of(tree, fresh)
    lost = load_lost_of_manifests(
        connection, drive_id, {*manifests, *(heads[number] for number in heads.keys() & proposals)}
    )
    plan = decide_commit(
        tree,
        fresh,
        {
            number: decide_content(
                proposal,
                available=available,
                manifests=manifests,
                lost=lost,
                head=heads.get(number, EMPTY_MANIFEST),
            )
            for number, proposal in proposals.items()
        },
        faults=commit.faults,
        now_ms=now_ms,
    )
    _store_plan(connection, caller, drive_id, plan, tree, now_ms=now_ms)
    made = [
        proposal
        for answer in plan.answers
        if answer.outcome is Outcome.APPLIED
        and isinstance(proposal := proposals.get(answer.number), Proposal)
    ]
    brought = {
        chunk_id: commit.chunks[chunk_id]
        for proposal in made
        for chunk_id in (*proposal.chunk_lengths, *lost.get(proposal.relies_on, ()))
        if chunk_id not in stored and chunk_id in commit.chunks
    }
    store_inline_chunks(connection, drive_id, brought.values(), now_ms=now_ms)
    manifests_made = [each.new_manifest for each in made if each.new_manifest is not None]
    store_manifests(connection, drive_id, manifests_made)
    return plan.answers


def _heads_of(tree: Tree, operations: Sequence[Operation]) -> dict[int, bytes]:
    """Return the manifest that each new content of a file is to follow, by operation number."""
    return {
        operation.number: tree.nodes[operation.node_id].manifest_id
        for operation in operations
        if isinstance(operation, SetContent) and operation.node_id in tree.nodes
    }


def _store_plan(
    connection: Connection,
    caller: Caller,
    drive_id: DriveId,
    plan: CommitPlan,
    tree: Tree,
    *,
    now_ms: int,
) -> None:
    store_answers(connection, drive_id, caller.device_id, plan.answers)
    if not plan.changes:
        return
    store_tree(connection, drive_id, tree)
    store_journal(connection, drive_id, caller.device_id, plan.changes, now_ms=now_ms)
    committed_uploads = {
        change.content.upload_id
        for change in plan.changes
        if change.content is not None and change.content.upload_id in tree.reservations
    }
    delete_uploads(connection, drive_id, committed_uploads)
    store_drive_counters(
        connection,
        drive_id,
        head_sequence=tree.sequence,
        quota_used=tree.quota.used,
        quota_reserved=tree.quota.reserved,
    )
