"""Offers a server that came back from a backup what this device holds of the time since.

Two steps. Before the snapshot is applied it is decided what to offer, a slice of the mirror at a
time, and looked whether it is whole here. In the transaction that applies the snapshot the offers
become changes like those of a program, on the old mirror, which says the same: nobody sees a
difference. What rebases local changes then does the rest, conflicts included.
"""

from collections.abc import Sequence
from typing import Protocol

import structlog
import trio

from backend_server.protocol.lost_past import LostPast
from mountfs.core.offers import Offer, Version, decide_offer
from mountfs.errors import MountError
from mountfs.state.overlay import Source
from mountfs.state.records import LocalDentry, LocalNode, NodeRecord
from mountfs.state.store import StateStore
from mountfs.state.tree import source_of
from mountfs.sync.arrivals import Arrival
from mountfs.sync.conflict_copies import ConflictCopies
from mountfs.sync.large_arrival import LargeArrival
from mountfs.sync.successions import apply_successions

_log = structlog.get_logger()

_NO_VERSION = 0
"""Of attributes that are the mirror's, and yet no change of those: the rebase gives them one."""
_NAMED_MAX = 100
"""Files that are named in the log as not whole; of more only the number."""


class HeldContents(Protocol):
    """What `sync` needs of `blocks` here."""

    async def hold(self, source: Source) -> bool:
        """As `ContentSender.hold`: what is offered may be the last there is of it."""
        ...


async def plan_offers(state: StateStore, arrival: Arrival, contents: HeldContents) -> list[Offer]:
    """Return what is to be offered; nothing if the server lost nothing. Checkpoints.

    What is not whole here is left out: whoever holds it offers it.
    """
    if not isinstance(arrival, LargeArrival) or (lost := arrival.lost_past) is None:
        return []
    offers: list[Offer] = []
    lacking_count = 0
    for records in state.next_mirror.behind(lost.kept_through):
        for record in records:
            offer = _decide(record, arrival, lost)
            if offer is None or _is_nothing(offer, state):
                continue
            source = source_of(record)
            is_whole = source is None or await _is_held(contents, source)
            if record.node_id in state.overlays:
                # It is to be sent in any case. In a dispute it lacks what is offered.
                is_disputed = record.node_id in state.disputes
                offer = offer._replace(keeps_both=is_whole and is_disputed)
            elif offer.has_content and not is_whole:
                lacking_count += 1
                if lacking_count <= _NAMED_MAX:
                    _log.warning(
                        "the server lost a file that is not whole here",
                        path=state.tree.path_of(record.node_id).decode(errors="backslashreplace"),
                        size_bytes=record.size_bytes,
                    )
                if offer.is_made_again or offer.attributes_version is None:
                    continue
                offer = offer._replace(has_content=False, expected_revision=None)
            offers.append(offer)
        await trio.lowlevel.checkpoint()
    _log.warning(
        "the server came back from a backup: what is here of the time since is offered again",
        offered_count=len(offers),
        lacking_count=lacking_count,
    )
    return offers


def _decide(record: NodeRecord, arrival: LargeArrival, lost: LostPast) -> Offer | None:
    brought = arrival.node(record.node_id)
    theirs = _version_of(brought) if brought is not None and brought.kind else None
    return decide_offer(
        record.node_id,
        _version_of(record),
        theirs,
        lost,
        was_removed=record.node_id in arrival.told_removed,
    )


def _is_nothing(offer: Offer, state: StateStore) -> bool:
    """Whether another device offered the same, and nothing was written over it here."""
    is_sent = offer.is_made_again or offer.has_content or offer.attributes_version is not None
    return not is_sent and offer.node_id not in state.overlays


def _version_of(node: NodeRecord) -> Version:
    return Version(node.revision, node.attributes_version, node.manifest_id)


async def _is_held(contents: HeldContents, source: Source) -> bool:
    try:
        return await contents.hold(source)
    except MountError:
        return False


def make_offers(state: StateStore, offers: Sequence[Offer], copies: ConflictCopies) -> set[int]:
    """Make local changes of the offers; return the nodes that are made again.

    Before anything is applied. Joins the caller's transaction.
    """
    if offers:
        # What was saved over a file follows on what is offered of it.
        apply_successions(state, left_alone=state.changes.in_flight_nodes)
    return {
        offer.node_id for offer in offers if _make(state, offer, copies) and offer.is_made_again
    }


def _make(state: StateStore, offer: Offer, copies: ConflictCopies) -> bool:
    """Whether it was made: not of what was removed here since it was planned."""
    node_id = offer.node_id
    record, seen = state.mirror.node(node_id), state.tree.node(node_id)
    if record is None or seen is None or not (state.tree.places(node_id) or node_id == 1):
        return False
    overlay = state.overlays.get(node_id)
    if offer.keeps_both and overlay is not None and node_id in state.disputes:
        state.disputes.end(node_id)
        copies.keep_both(overlay)
        seen = record
    if offer.is_made_again or offer.attributes_version is not None:
        state.changes.put_node(_local_node(state, seen, offer))
    if offer.is_made_again:
        _name_again(state, seen)
    if offer.expected_revision is not None:
        _offer_content(state, record, offer, offer.expected_revision)
    return True


def _local_node(state: StateStore, seen: NodeRecord, offer: Offer) -> LocalNode:
    return LocalNode(
        seen.node_id, seen.kind, seen.mode, seen.uid, seen.gid, seen.mtime_ns, seen.ctime_ns,
        _NO_VERSION, seen.target, seen.rdev, offer.is_made_again,
        state.changes.next_touch(), seen.xattrs, seen.conflict_of, seen.conflict_device,
        seen.conflict_at_ns,
    )  # fmt: skip


def _name_again(state: StateStore, node: NodeRecord) -> None:
    """The server has none of the names that it had."""
    changes, node_id = state.changes, node.node_id
    for parent, name in state.mirror.places(node_id):
        row = changes.dentries.get((parent, name))
        if row is None:
            row = LocalDentry(
                parent, name, node_id, node_id, changes.next_touch(), is_folder=node.is_folder
            )
        changes.put_dentry(row._replace(expected=0))


def _offer_content(
    state: StateStore, record: NodeRecord, offer: Offer, expected_revision: int
) -> None:
    overlay = state.overlays.get(record.node_id)
    if overlay is not None:
        state.disputes.end(record.node_id)  # with what the server had, and has not
        state.overlays.rebase(overlay, expected_revision)
    elif offer.has_content:
        # No source: it had been emptied.
        state.overlays.begin(
            record.node_id, expected_revision=expected_revision, source=source_of(record)
        )
