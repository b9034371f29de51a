"""What was brought and meets a change made here is found, whatever programs do meanwhile.

Held against the plain definition: look at each change, row by row, when all is over.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from backend_server.protocol.identity import DriveId
from backend_server.protocol.tree_messages import DentryState, NodeKind, NodeState
from mountfs.core.conflict import DentryVerdict, decide_dentry
from mountfs.state.meeting import Met
from mountfs.state.mirror import Key
from mountfs.state.next_mirror import NextMirror
from mountfs.state.records import NodeRecord
from mountfs.state.store import StateStore
from mountfs.sync.feed import Progress
from mountfs.sync.large_arrival import LargeArrival

DRIVE = DriveId("0" * 16)
ROOT, DOCS = 1, 2
FILES = [10, 11, 12, 13]
MADE = [20, 21]
FOLDERS = st.sampled_from([ROOT, DOCS])
NAMES = st.sampled_from([b"a", b"b", b"c", b"d", b"e"])
KEYS = st.tuples(FOLDERS, NAMES)
BEFORE = {(ROOT, b"docs"): DOCS, (ROOT, b"a"): 10, (ROOT, b"b"): 11, (DOCS, b"a"): 12}

Change = tuple[str, Key, int]
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["place", "write", "attributes", "make"]),
        KEYS,
        st.sampled_from([0, DOCS, *FILES]),
    ),
    max_size=4,
)
BROUGHT_NODES = st.dictionaries(st.sampled_from([DOCS, *FILES, 30]), st.sampled_from([0, 1, 2]))
BROUGHT_NAMES = st.dictionaries(KEYS, st.sampled_from([0, *FILES, 30]))


def change(state: StateStore, made: Iterator[int], what: str, key: Key, node_id: int) -> None:
    record = state.tree.node(node_id)
    match what:
        case "make" if made_id := next(made, 0):
            state.tree.create(_record(made_id))
            state.tree.set_child(*key, made_id)
        case "place":
            state.tree.set_child(*key, node_id)
        case "write" if record is not None and record.is_file:
            state.overlays.write(state.tree.overlay_of(record), 0, b"here", now_ns=1)
        case "attributes" if record is not None:
            state.tree.set_attributes(record._replace(mode=0o600))


def _record(node_id: int) -> NodeRecord:
    return NodeRecord(node_id, NodeKind.FILE, 0o644, 0, 0, 1, 1, 0, 0, 0, b"", b"", b"", 0)


def node_states(brought: dict[int, int]) -> list[NodeState]:
    return [
        NodeState(node_id, 2, _kind(node_id), revision=revision)
        if revision
        else NodeState(node_id, 2, NodeKind.REMOVED)
        for node_id, revision in brought.items()
    ]


def _kind(node_id: int) -> NodeKind:
    return NodeKind.FOLDER if node_id in (ROOT, DOCS) else NodeKind.FILE


def plainly_met(
    state: StateStore, nodes: dict[int, int], names: dict[Key, int]
) -> tuple[dict[Key, int], set[int], set[int]]:
    """Names, nodes that are there, and removed ones: what was brought of all that was changed."""
    changes = state.changes
    rows = changes.dentries.values()
    involved = changes.nodes.keys() | {overlay.node_id for overlay in state.overlays}
    for row in rows:
        involved |= {row.parent, row.node_id, row.expected}
        involved.add(names.get(row.key) or state.mirror.child(*row.key))
    return (
        {key: names[key] for key in changes.dentries if key in names},
        {node for node in involved if nodes.get(node)},
        {node for node in involved if node in nodes and not nodes[node]},
    )


@given(CHANGES, st.lists(CHANGES, max_size=8), BROUGHT_NODES, BROUGHT_NAMES, st.booleans())
def test_all_that_meets_is_found(
    changes: list[Change],
    meanwhile: list[list[Change]],
    nodes: dict[int, int],
    names: dict[Key, int],
    is_snapshot: bool,
) -> None:
    with TemporaryDirectory() as folder:
        state = StateStore.open(Path(folder), DRIVE)
        state.next_mirror = NextMirror(state.database, state.mirror, rows_at_once=1)
        state.mirror.apply(
            [NodeState(node_id, 1, _kind(node_id), revision=1) for node_id in (ROOT, DOCS, *FILES)],
            [DentryState(*key, node_id, 1) for key, node_id in BEFORE.items()],
        )
        made = iter(MADE)
        for each in changes:
            change(state, made, *each)
        for _ in state.next_mirror.add(
            node_states(nodes), [DentryState(*key, node_id, 2) for key, node_id in names.items()]
        ):
            pass
        arrival = LargeArrival(state, Progress(), is_snapshot=is_snapshot)
        with state.recent.noted():
            steps = arrival._meeting.steps()
            for batch in meanwhile:
                next(steps, None)
                for each in batch:
                    change(state, made, *each)
            met = arrival.met()
        dentries, present, removed = plainly_met(state, nodes, names)
        assert dentries.items() <= met.dentries.items()
        assert present <= met.present.keys()
        assert removed <= met.removed
        was_brought(met, nodes, names, is_snapshot=is_snapshot)
        if is_snapshot:
            leaves_nothing_to_decide(state, met)
        state.close()


def was_brought(
    met: Met, nodes: dict[int, int], names: dict[Key, int], *, is_snapshot: bool
) -> None:
    """What is met is what was brought, and `edited` what the mirror has otherwise."""
    shown = (dict.fromkeys((ROOT, DOCS, *FILES), 1) if is_snapshot else {}) | nodes
    led = (BEFORE if is_snapshot else {}) | names
    assert all(led.get(key, 0) == node_id for key, node_id in met.dentries.items())
    assert all(shown[node] == revision for node, revision in met.present.items())
    assert all(not nodes[node] for node in met.removed)
    had = {ROOT, DOCS, *FILES}
    assert met.edited == {node for node in met.present.keys() & had if met.present[node] != 1}


def leaves_nothing_to_decide(state: StateStore, met: Met) -> None:
    """A snapshot is all there is: what is not met is as it was when it was changed here."""
    for key in state.changes.dentries.keys() - met.dentries.keys():
        row = state.changes.dentries[key]
        remote = state.mirror.child(*key)
        verdict = decide_dentry(expected=row.expected, local=row.node_id, remote=remote)
        assert verdict is DentryVerdict.KEEP
    for overlay in state.overlays:
        mirrored = state.mirror.node(overlay.node_id)
        if mirrored is not None and overlay.node_id not in met.present.keys() | met.removed:
            assert mirrored.revision == overlay.expected_revision
