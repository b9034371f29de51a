"""What the answers to a batch mean for the rows that it was made from.

Part of the transaction that applies the feed behind them: an applied operation's rows stop being
changes exactly when the mirror shows what they said.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence, Set

from backend_server.protocol.commit_messages import (
    CreateNode,
    NewContent,
    OperationAnswer,
    Outcome,
    PlaceNodes,
    SetAttributes,
    SetContent,
)
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.lost_past import LostPast
from mountfs.core.refused_change import RefusedChange
from mountfs.state.batches import SentOperation
from mountfs.state.local_changes import Key
from mountfs.state.overlay import Source
from mountfs.state.store import StateStore

_KNOTS = frozenset({ErrorCode.FOLDER_CYCLE, ErrorCode.FOLDER_NOT_EMPTY, ErrorCode.FOLDER_LINK})


def without_lost(
    answers: Mapping[int, OperationAnswer], *, head_sequence: int, lost: LostPast | None
) -> dict[int, OperationAnswer]:
    """Return the answers, STALE where what was made is not in a snapshot. Pure.

    The server came back from a backup, and the journal that had it is gone. What it refused since,
    it refused without knowing what was lost and is offered to it now.
    """

    def is_true(answer: OperationAnswer) -> bool:
        if lost is not None and (answer.outcome is Outcome.REFUSED or lost.has(answer.sequence)):
            return False
        return answer.sequence <= head_sequence

    return {
        number: answer if is_true(answer) else OperationAnswer(number, Outcome.STALE)
        for number, answer in answers.items()
    }


def find_broken_promise(
    sent: Sequence[SentOperation],
    answers: Mapping[int, OperationAnswer],
    brought: Container[int],
    *,
    head_sequence: int,
) -> str | None:
    """Return why the answers cannot be true of the feed behind them, None if they can. Pure.

    What the server says to have made lies in the feed: else the bytes would be given up here and
    be nowhere.

    Args:
        brought: Nodes whose states, tombstones included, came with the feed.
    """
    for each in sent:
        answer = answers.get(each.operation.number)
        if answer is None or answer.outcome is not Outcome.APPLIED:
            continue
        if answer.sequence > head_sequence:
            return "a change was made behind the head"
        operation = each.operation
        if isinstance(operation, CreateNode | SetContent) and operation.node_id not in brought:
            return "a change was made that the feed does not have"
    return None


def find_made_and_removed(
    sent: Sequence[SentOperation],
    answers: Mapping[int, OperationAnswer],
    is_known: Callable[[int], bool],
) -> set[int]:
    """Return the nodes that an earlier batch made, and others removed, unseen from here. Pure.

    The answer to that batch never came, and neither did the removal (a snapshot has none): all that
    is known is that the id was taken, by nothing that is there.

    Args:
        is_known: Whether the server has a node, as of the feed.
    """
    return {
        each.operation.node_id
        for each in sent
        if isinstance(each.operation, CreateNode)
        and (answer := answers.get(each.operation.number)) is not None
        and answer.code is ErrorCode.NODE_ID_TAKEN
        and not is_known(each.operation.node_id)
    }


class Settlement:
    """Settles one batch. `run` joins the caller's transaction."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self.applied_keys: set[Key] = set()
        self.applied_revisions: dict[int, int] = {}
        """Node to the revision that our commit of its content became."""
        self.applied_nodes: set[int] = set()
        """Nodes of all that was applied: the mirror does not have it yet."""
        self.missing_nodes: set[int] = set()
        """Nodes whose content the server could not find: to be sent again."""
        self.knotted_keys: set[Key] = set()
        """Renames and removals that the server could not make in the order sent."""
        self.parked: list[RefusedChange] = []

    def run(
        self,
        sent: Sequence[SentOperation],
        answers: Mapping[int, OperationAnswer],
        *,
        gone: Set[int] = frozenset(),
    ) -> None:
        """Settle what was answered.

        Args:
            gone: Made and removed, see `find_made_and_removed`: no refusal to be told.
        """
        changes = self._state.changes
        for operation in sent:
            answer = answers.get(operation.operation.number)
            if answer is None:
                continue  # a server that leaves an operation out did not make it
            match answer.outcome:
                case Outcome.APPLIED:
                    self.applied_nodes |= set(_nodes_of(operation))
                    self._applied(operation, answer.sequence)
                case Outcome.MISSING:
                    self.missing_nodes |= set(_nodes_of(operation))
                case Outcome.REFUSED:
                    if not gone >= set(_nodes_of(operation)):
                        self._refused(operation, answer)
                case Outcome.STALE | Outcome.SKIPPED:
                    pass  # the feed tells what is there now; what still differs is planned again
        keys, nodes = set(changes.in_flight_dentries), set(changes.in_flight_nodes)
        changes.in_flight_dentries.clear()
        changes.in_flight_nodes.clear()
        for node_id in nodes & changes.nodes.keys():
            # Removed here while its creation was on the way, which was not made after all.
            if changes.nodes[node_id].is_created and not changes.places(node_id):
                changes.drop_node(node_id)
        for key in keys:
            row = changes.dentries.get(key)
            # While in flight a row stays although it says what the server has: no longer.
            if row is not None and row.node_id == row.expected:
                changes.drop_dentry(key)

    def _applied(self, sent: SentOperation, sequence: int) -> None:
        operation = sent.operation
        match operation:
            case CreateNode():
                self._placed((operation.parent, operation.name), operation.node_id)
                self._node_known(operation.node_id, sent.node_touched, sequence)
                if operation.content is not None:
                    self._content_known(operation.node_id, operation.content, sequence, sent)
            case PlaceNodes():
                for change in operation.changes:
                    self._placed((change.parent, change.name), change.node_id)
            case SetContent():
                self._content_known(operation.node_id, operation.content, sequence, sent)
            case SetAttributes():
                self._node_known(operation.node_id, sent.node_touched, sequence)

    def _placed(self, key: Key, node_id: int) -> None:
        self.applied_keys.add(key)
        row = self._state.changes.dentries.get(key)
        if row is not None:
            self._state.changes.put_dentry(row._replace(expected=node_id))

    def _node_known(self, node_id: int, touched: int, sequence: int) -> None:
        changes = self._state.changes
        node = changes.nodes.get(node_id)
        if node is None:
            return
        if node.touched == touched:
            changes.drop_node(node_id)
        else:
            changes.put_node(node._replace(is_created=False, attributes_version=sequence))
        self._state.parking.unpark(node_id)

    def _content_known(
        self, node_id: int, content: NewContent, sequence: int, sent: SentOperation
    ) -> None:
        self.applied_revisions[node_id] = sequence
        overlay = self._state.overlays.get(node_id)
        held = {g.generation_id for g in overlay.generations} if overlay is not None else set()
        if overlay is None or not held.issuperset(sent.generation_ids):
            return  # removed here meanwhile
        committed = Source(node_id, sequence, content.manifest_id, b"", content.size_bytes)
        self._state.overlays.retire(overlay, sent.generation_ids, committed)
        self._state.parking.unpark(node_id)

    def _refused(self, sent: SentOperation, answer: OperationAnswer) -> None:
        operation = sent.operation
        if isinstance(operation, PlaceNodes) and answer.code in _KNOTS:
            self.knotted_keys |= {(change.parent, change.name) for change in operation.changes}
            return
        if answer.code is ErrorCode.PARENT_GONE:
            return  # the feed brings the removal, and the rebase makes the folder again
        code = answer.code or ErrorCode.INTERNAL
        for node_id in _nodes_of(sent):
            self._state.parking.park(node_id, code, now_ns=self._state.clock.wall_ns())
            self.parked.append(RefusedChange(node_id, code, operation))


def _nodes_of(sent: SentOperation) -> Iterable[int]:
    match sent.operation:
        case PlaceNodes(changes=changes):
            return {
                node for change in changes for node in (change.expected, change.node_id) if node
            }
        case operation:
            return (operation.node_id,)
