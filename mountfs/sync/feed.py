"""Pages of the feed, gathered until they are one consistent state, then applied at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import DriveId
from backend_server.protocol.limits import GIB
from backend_server.protocol.messages import (
    ChangesPage,
    DentryState,
    NodeKind,
    NodeState,
    OperationAnswer,
    QuotaState,
)
from mountfs.core.tree_laws import NO_TREE, find_broken_law
from mountfs.errors import Corruption, CursorReset
from mountfs.state.local_changes import Key
from mountfs.state.store import StateStore
from mountfs.state.tree import source_of
from mountfs.state.view_changes import ViewChanges
from mountfs.sync.conflict_copies import ConflictCopies
from mountfs.sync.rebase import Rebase
from mountfs.sync.revival import remember_before
from mountfs.sync.settle import Settlement, find_broken_promise, without_lost
from mountfs.sync.successions import apply_successions

_log = structlog.get_logger()

PULLED_ROWS_MAX: Final = 20_000_000
"""Rows of one consistent state, over all of its pages."""
PULLED_BYTES_MAX: Final = 2 * GIB
"""Names, targets and entries in them."""


class FeedSource(Protocol):
    async def snapshot_page(self, drive_id: DriveId, after: str | None) -> ChangesPage: ...
    async def changes(self, drive_id: DriveId, cursor: str) -> ChangesPage: ...


@dataclass(slots=True)
class Progress:
    """How far the pages of one consistent state have come; a server may err, or lie."""

    cursor: str = ""
    rows_count: int = 0
    rows_bytes: int = 0
    head_sequence: int = 0

    def take(self, page: ChangesPage) -> None:
        """Note the next page.

        Raises:
            Corruption: It is none: it leads nowhere, leads back, or there are too many of them.
        """
        rows_count = len(page.nodes) + len(page.dentries)
        if page.has_more and (not rows_count or page.cursor == self.cursor):
            raise Corruption("the server's feed does not get on")
        if page.consistent_at < self.head_sequence:
            raise Corruption("the server's feed goes back")
        self.rows_count += rows_count
        self.rows_bytes += sum(len(node.target) + len(node.entries) for node in page.nodes)
        self.rows_bytes += sum(len(dentry.name) for dentry in page.dentries)
        if self.rows_count > PULLED_ROWS_MAX or self.rows_bytes > PULLED_BYTES_MAX:
            raise Corruption("the server's feed does not end")
        self.head_sequence = page.consistent_at
        self.cursor = page.cursor


@dataclass(slots=True)
class Pulled:
    """What the drive is as of `cursor`, as states of what changed since the mirror's cursor."""

    progress: Progress
    nodes: dict[int, NodeState] = field(default_factory=dict)
    dentries: dict[Key, DentryState] = field(default_factory=dict)
    applied_through: int = 0
    quota: QuotaState | None = None
    is_snapshot: bool = False

    @property
    def cursor(self) -> str:
        return self.progress.cursor

    def add(self, page: ChangesPage) -> None:
        """Take the next page. Raises as `Progress.take`."""
        self.progress.take(page)
        self.nodes.update((state.node_id, state) for state in page.nodes)
        self.dentries.update(((state.parent, state.name), state) for state in page.dentries)
        self.applied_through = page.applied_through
        self.quota = page.quota


async def pull(source: FeedSource, drive_id: DriveId, cursor: str) -> Pulled:
    """Return everything behind `cursor`; a snapshot when there is none or it does not hold.

    Changes nothing. Raises `Unavailable`, `Refused`, `Corruption`.
    """
    if cursor:
        try:
            return await pull_changes(source, drive_id, Pulled(Progress(cursor)))
        except CursorReset:
            _log.warning("the feed was reset: the mirror is built anew")
    pulled = Pulled(Progress(), is_snapshot=True)
    after: str | None = None
    while True:
        page = await source.snapshot_page(drive_id, after)
        pulled.add(page)
        after = page.cursor
        if not page.has_more:
            return await pull_changes(source, drive_id, pulled)


async def pull_changes(source: FeedSource, drive_id: DriveId, pulled: Pulled) -> Pulled:
    """Bring `pulled` to where the server is, and return it. Raises `CursorReset` as well."""
    while True:
        page = await source.changes(drive_id, pulled.cursor)
        pulled.add(page)
        if not page.has_more:
            return pulled


async def fill_empty_mirror(state: StateStore, source: FeedSource) -> None:
    """Take the drive's tree into a mirror that nobody has seen yet, page by page.

    Memory holds a page, and not a million nodes. The cursor comes last: what a crash leaves behind
    is no mirror, and is cleared by the next try.

    Raises:
        Corruption: The pages are no tree.
        CursorReset: The journal was compacted meanwhile: try again.
        Unavailable, Refused: Try again later.
    """
    assert not state.cursor
    with state.database.transaction():
        state.mirror.clear()
    progress = Progress()
    page: ChangesPage | None = None
    while page is None or page.has_more:
        page = await source.snapshot_page(state.drive_id, progress.cursor or None)
        _fill(state, page, progress)
    while True:
        page = await source.changes(state.drive_id, progress.cursor)
        with state.database.transaction():
            _fill(state, page, progress)
            if page.has_more:
                continue
            broken = state.mirror.complete()
            if broken is not None:
                raise Corruption(f"the server's tree is none: {broken}")
            state.set_value("cursor", page.cursor)
            state.batches.number_from(page.applied_through)
            state.set_quota(page.quota)
            return


def _fill(state: StateStore, page: ChangesPage, progress: Progress) -> None:
    progress.take(page)
    with state.database.transaction():
        state.mirror.apply(page.nodes, page.dentries)


def contents_in_doubt(
    state: StateStore, pulled: Pulled, answers: Mapping[int, OperationAnswer] | None
) -> set[int]:
    """Return the files written here of which `pulled` may bring the same, by other hands."""
    own_revisions = {answer.sequence for answer in (answers or {}).values()}
    in_doubt = set()
    for overlay in state.overlays:
        theirs = pulled.nodes.get(overlay.node_id)
        if theirs is not None and theirs.revision not in (
            overlay.expected_revision, *own_revisions
        ):  # fmt: skip
            in_doubt.add(overlay.node_id)
    for key, dentry in pulled.dentries.items():
        row = state.changes.dentries.get(key)
        if row is None or not row.node_id or dentry.node_id in (0, row.node_id):
            continue
        record = state.tree.node(row.node_id)
        if record is not None and record.is_folder:  # they merge: any file in it may meet its like
            return {overlay.node_id for overlay in state.overlays}
        in_doubt.add(row.node_id)
    return in_doubt


@dataclass(slots=True)
class Applied:
    """What applying did."""

    view: ViewChanges
    settlement: Settlement
    conflicts: list[Key]


def apply(
    state: StateStore,
    pulled: Pulled,
    answers: Mapping[int, OperationAnswer] | None,
    ready_manifests: Mapping[int, bytes],
    *,
    device_name: str,
    new_node_id: Callable[[], int],
    untie: bool,
    is_merging: bool,
    is_mirror_sound: bool = True,
) -> Applied:
    """Bring the mirror to `pulled`, settle the batch, rebase what was changed here.

    One transaction: after a crash either all of it happened, or it will be done again from the
    same batch and the same cursor. No checkpoint.

    Args:
        is_mirror_sound: Whether what is in the mirror can speak against the server. If not,
            `pulled` must be a snapshot.

    Raises:
        Corruption: What was pulled is no tree, or lacks what was answered. Nothing was done.
    """
    if pulled.is_snapshot:
        _add_removals(state, pulled)
    before_it = state.mirror if is_mirror_sound else NO_TREE
    broken = find_broken_law(before_it, pulled.nodes, pulled.dentries)
    if broken is not None:
        raise Corruption(f"the server's tree is none: {broken}")
    if answers is not None and pulled.is_snapshot:
        answers = without_lost(answers, head_sequence=pulled.progress.head_sequence)
    elif answers is not None:
        # A snapshot has no tombstone of what was made and removed since.
        broken = find_broken_promise(
            state.batches.in_flight,
            answers,
            pulled.nodes,
            head_sequence=pulled.progress.head_sequence,
        )
        if broken is not None:
            raise Corruption(f"the server's answers are not true: {broken}")
    nodes, dentries = list(pulled.nodes.values()), list(pulled.dentries.values())
    removed = {node.node_id for node in nodes if node.kind is NodeKind.REMOVED}
    present = pulled.nodes.keys() - removed
    view = ViewChanges()
    settlement = Settlement(state)
    seen_names = {key: state.tree.child(*key) for key in pulled.dentries}
    seen_nodes = {node_id: state.tree.node(node_id) for node_id in present}
    mirrored = {node_id: state.mirror.node(node_id) for node_id in present}
    heads = {node_id: old.revision if old else None for node_id, old in mirrored.items()}
    with state.database.transaction():
        before = remember_before(state, removed)
        if answers is not None:
            settlement.run(state.batches.in_flight, answers)
            state.batches.forget()
        # What was saved here over an old file meets what others made of the same file.
        apply_successions(state, left_alone=settlement.applied_nodes)
        state.mirror.apply(nodes, dentries)
        copies = ConflictCopies(state, view, device_name=device_name, new_node_id=new_node_id)
        Rebase(state, before, mirrored, view, copies, is_merging=is_merging).run(
            keys=set(pulled.dentries) | settlement.applied_keys,
            nodes=set(present),
            removed=removed,
            edited=_edited_by_others(pulled, heads, settlement.applied_revisions),
            applied_revisions=settlement.applied_revisions,
            ready_manifests=ready_manifests,
            knotted=settlement.knotted_keys if untie else set(),
        )
        state.set_value("cursor", pulled.cursor)
        # Mostly what is known; a server from an older backup counts on from a lower number.
        state.batches.number_from(pulled.applied_through)
        if pulled.quota is not None:
            _take_quota(state, pulled.quota)
    for key, child in seen_names.items():
        if state.tree.child(*key) != child:
            view.dentries.add(key)
            # Their link counts are others now, whatever their rows say.
            view.attributes |= {child, state.tree.child(*key)} - {0}
    view.removed |= {node_id for node_id in removed if state.tree.node(node_id) is None}
    for node_id, record in seen_nodes.items():
        now = state.tree.node(node_id)
        if record is None or now is None:
            continue
        is_own = settlement.applied_revisions.get(node_id) == now.revision
        if record.manifest_id != now.manifest_id and not is_own:
            view.contents.add(node_id)
            old = mirrored[node_id]
            if old is not None and (source := source_of(old)) is not None:
                view.replaced[node_id] = source
        elif record[:7] != now[:7] or record.size_bytes != now.size_bytes:
            view.attributes.add(node_id)
    return Applied(view, settlement, copies.made)


def _take_quota(state: StateStore, quota: QuotaState) -> None:
    """Keep the quota; what was refused for want of room is tried again as far as room came."""
    old, room = state.quota, _room_of(quota)
    state.set_quota(quota)
    if room <= _room_of(old):
        return
    for node_id, code in sorted(state.parking.codes.items()):
        record = state.tree.node(node_id)
        if code != ErrorCode.QUOTA_EXCEEDED or record is None or record.size_bytes > room:
            continue
        room -= record.size_bytes
        state.parking.unpark(node_id)


def _room_of(quota: QuotaState) -> int:
    return quota.limit_bytes - quota.used_bytes - quota.reserved_bytes


def _edited_by_others(
    pulled: Pulled, heads: Mapping[int, int | None], own: Mapping[int, int]
) -> set[int]:
    """Return the files that have a new head which is not ours. Pure."""
    return {
        node_id
        for node_id, head in heads.items()
        if head is not None and pulled.nodes[node_id].revision not in (head, own.get(node_id))
    }


def _add_removals(state: StateStore, pulled: Pulled) -> None:
    """A snapshot has no tombstones: what the mirror has and it lacks is gone."""
    for record in list(state.mirror.all_nodes()):
        if record.node_id not in pulled.nodes:
            pulled.nodes[record.node_id] = NodeState(record.node_id, 0, NodeKind.REMOVED)
    for key in state.mirror.all_keys():  # all of them: a damaged mirror has some in no folder
        if key not in pulled.dentries:
            pulled.dentries[key] = DentryState(*key, 0, 0)
