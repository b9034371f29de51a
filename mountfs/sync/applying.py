"""The mirror moves to what the server said, and what was changed here is put on top again.

Only what was changed here is looked at, however much was brought: for everything else the server's
word is all there is.
"""

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass

from backend_server.protocol.commit_messages import OperationAnswer
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.tree_messages import QuotaState
from mountfs.core.offers import Offer
from mountfs.errors import Corruption
from mountfs.state.local_changes import Key
from mountfs.state.meeting import Met
from mountfs.state.store import StateStore
from mountfs.state.view_changes import ViewChanges
from mountfs.sync.arrivals import Arrival
from mountfs.sync.conflict_copies import ConflictCopies
from mountfs.sync.offers import make_offers
from mountfs.sync.rebase import Rebase
from mountfs.sync.revival import remember_before
from mountfs.sync.settle import (
    Settlement,
    find_broken_promise,
    find_made_and_removed,
    without_lost,
)
from mountfs.sync.successions import apply_successions


def contents_in_doubt(
    state: StateStore, met: Met, answers: Mapping[int, OperationAnswer] | None
) -> set[int]:
    """Return the files written here of which others may have brought the same."""
    own_revisions = {answer.sequence for answer in (answers or {}).values()}
    in_doubt = set()
    for node_id, revision in met.present.items():
        overlay = state.overlays.get(node_id)
        if overlay is not None and revision not in (overlay.expected_revision, *own_revisions):
            in_doubt.add(node_id)
    for key, theirs in met.dentries.items():
        row = state.changes.dentries.get(key)
        if row is None or not row.node_id or theirs in (0, row.node_id):
            continue
        if row.is_folder:  # they merge: any file in it may meet its like
            return {overlay.node_id for overlay in state.overlays}
        in_doubt.add(row.node_id)
    return in_doubt


@dataclass(slots=True)
class Applied:
    """What applying did."""

    view: ViewChanges
    settlement: Settlement
    conflicts: list[Key]
    is_more_sendable: bool
    """What was refused may be accepted now, what was held back may go, or there is new work."""


def apply(
    state: StateStore,
    arrival: Arrival,
    answers: Mapping[int, OperationAnswer] | None,
    ready_manifests: Mapping[int, bytes],
    *,
    offers: Sequence[Offer] = (),
    device_name: str,
    new_node_id: Callable[[], int],
    untie: bool,
    is_merging: bool,
) -> Applied:
    """Bring the mirror to `arrival`, settle the batch, rebase what was changed here.

    One transaction: after a crash either all of it happened, or it will be done again from the
    same batch and the same cursor. No checkpoint.

    Args:
        offers: What a server that lost part of its past is to be told again.

    Raises:
        Corruption: What was pulled lacks what was answered. Nothing was done.
    """
    gone: Set[int] = frozenset()
    if answers is not None:
        gone = find_made_and_removed(
            state.batches.in_flight,
            answers,
            lambda node_id: node_id in arrival or state.mirror.node(node_id) is not None,
        )
        answers = _true_answers(state, arrival, answers)
    arrival.note_seen()
    view = ViewChanges()
    settlement = Settlement(state)
    touched, disputed = state.counter.last, set(state.disputes.bases)
    with state.database.transaction():
        copies = ConflictCopies(state, view, device_name=device_name, new_node_id=new_node_id)
        made_again = make_offers(state, offers, copies)
        if arrival.lost_past is not None:
            state.add_lost_past(arrival.lost_past)
        met = arrival.met()
        met.removed = (met.removed | gone) - made_again
        before = remember_before(state, met.removed)
        if answers is not None:
            settlement.run(state.batches.in_flight, answers, gone=gone)
            state.batches.forget()
        # What was saved here over an old file meets what others made of the same file.
        apply_successions(state, left_alone=settlement.applied_nodes, met=met)
        arrival.enter()
        Rebase(state, before, arrival.before, view, copies, is_merging=is_merging).run(
            keys=met.dentries.keys() | settlement.applied_keys,
            nodes=met.present.keys(),
            removed=met.removed,
            edited={
                node_id
                for node_id in met.edited
                if met.present[node_id] != settlement.applied_revisions.get(node_id)
            },
            applied_revisions=settlement.applied_revisions,
            ready_manifests=ready_manifests,
            knotted=settlement.knotted_keys if untie else set(),
        )
        state.set_value("cursor", arrival.cursor)
        # Mostly what is known; a server from an older backup counts on from a lower number.
        state.batches.number_from(arrival.applied_through)
        just_refused = {refused.node_id for refused in settlement.parked}
        unparked = _take_quota(state, arrival.quota, just_refused=just_refused)
    arrival.view_changes(settlement.applied_revisions, view)
    is_more_sendable = (
        unparked > 0 or state.counter.last > touched or not disputed <= state.disputes.bases.keys()
    )
    return Applied(view, settlement, copies.made, is_more_sendable)


def _take_quota(
    state: StateStore, quota: QuotaState | None, *, just_refused: Collection[int]
) -> int:
    """Keep the quota; what was refused for want of room is tried again as far as room came.

    Returns how many files that are. Not those of `just_refused`: the server knew this quota.
    """
    if quota is None:
        return 0
    old, room = state.quota, _room_of(quota)
    state.set_quota(quota)
    if room <= _room_of(old):
        return 0
    unparked_count = 0
    for node_id, code in sorted(state.parking.codes.items()):
        if code != ErrorCode.QUOTA_EXCEEDED or node_id in just_refused:
            continue
        growth = _growth_of(state, node_id)
        if growth <= room:
            room -= growth
            state.parking.unpark(node_id)
            unparked_count += 1
    return unparked_count


def _growth_of(state: StateStore, node_id: int) -> int:
    """Return by how much a file written here outgrows what the server counts; holes are free."""
    record, mirrored = state.tree.node(node_id), state.mirror.node(node_id)
    overlay = state.overlays.get(node_id)
    if record is None or overlay is None:
        return 0
    growth = record.size_bytes - (mirrored.size_bytes if mirrored is not None else 0)
    return max(0, min(growth, overlay.held_bytes))


def _room_of(quota: QuotaState) -> int:
    return quota.limit_bytes - quota.used_bytes - quota.reserved_bytes


def _true_answers(
    state: StateStore, arrival: Arrival, answers: Mapping[int, OperationAnswer]
) -> Mapping[int, OperationAnswer]:
    """Return the answers as far as they hold. Raises `Corruption`: they cannot be true."""
    if arrival.is_snapshot:
        # A snapshot has no tombstone of what was made and removed since.
        return without_lost(answers, head_sequence=arrival.head_sequence, lost=arrival.lost_past)
    broken = find_broken_promise(
        state.batches.in_flight, answers, arrival, head_sequence=arrival.head_sequence
    )
    if broken is not None:
        raise Corruption(f"the server's answers are not true: {broken}")
    return answers
