"""The laws of a tree: what a server may send passes, and every broken law is found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_server.protocol.tree_messages import DentryState, NodeKind, NodeState
from lawful_tree import Key, Tree
from mountfs.core.tree_laws import find_broken_law

ROOT, DOCS, INNER, FILE = 1, 10, 11, 12

FOLDER, REMOVED = NodeKind.FOLDER, NodeKind.REMOVED
BEFORE = Tree(
    {ROOT: FOLDER, DOCS: FOLDER, INNER: FOLDER, FILE: NodeKind.FILE},
    {(ROOT, b"docs"): DOCS, (DOCS, b"inner"): INNER, (INNER, b"file"): FILE},
)


def broken(before: Tree, nodes: dict[int, NodeKind], names: dict[Key, int]) -> str | None:
    return find_broken_law(
        before,
        {node: NodeState(node, 1, kind) for node, kind in nodes.items()},
        {key: DentryState(*key, node, 1) for key, node in names.items()},
    )


NODES = st.dictionaries(
    st.sampled_from([ROOT, DOCS, INNER, FILE, 20, 21]),
    st.sampled_from([REMOVED, NodeKind.FILE, FOLDER, FOLDER]),
    max_size=4,
)
NAMES = st.dictionaries(
    st.tuples(
        st.sampled_from([ROOT, DOCS, INNER, FILE, 20, 21, 22]),
        st.sampled_from([b"docs", b"inner", b"file", b"x"]),
    ),
    st.sampled_from([0, 0, ROOT, DOCS, INNER, FILE, 20, 21, 22]),
    max_size=5,
)


@given(NODES, NAMES)
def test_what_keeps_every_law_passes_and_nothing_else(
    nodes: dict[int, NodeKind], names: dict[Key, int]
) -> None:
    changes_kind = any(
        kind and BEFORE.nodes.get(node, kind) is not kind for node, kind in nodes.items()
    )
    is_lawful = BEFORE.with_states(nodes, names).is_lawful() and not changes_kind
    assert (broken(BEFORE, nodes, names) is None) == is_lawful


@pytest.mark.parametrize(
    ("law", "nodes", "names"),
    [
        ("became one of another kind", {FILE: FOLDER}, {}),
        ("root is no folder", {ROOT: NodeKind.FILE}, {}),
        ("root was removed", {ROOT: REMOVED}, {}),
        ("name leads to what was removed", {FILE: REMOVED}, {}),
        ("removed with what is in it", {INNER: REMOVED}, {(DOCS, b"inner"): 0}),
        ("in what is no folder", {}, {(FILE, b"x"): INNER}),
        ("in what is no folder", {}, {(99, b"x"): INNER}),
        ("leads to nothing", {}, {(ROOT, b"x"): 99}),
        ("root has a name", {}, {(DOCS, b"x"): ROOT}),
        ("two names", {}, {(ROOT, b"x"): INNER}),
        ("inside itself", {}, {(ROOT, b"docs"): 0, (INNER, b"x"): DOCS}),
        ("inside itself", {20: FOLDER, 21: FOLDER}, {(20, b"x"): 21, (21, b"x"): 20}),
        ("inside itself", {20: FOLDER}, {(20, b"x"): 20}),
    ],
)
def test_every_broken_law_has_its_words(
    law: str, nodes: dict[int, NodeKind], names: dict[Key, int]
) -> None:
    found = broken(BEFORE if ROOT not in nodes else Tree({}, {}), nodes, names)
    assert found is not None
    assert law in found


def test_a_whole_tree_comes_and_goes() -> None:
    empty = Tree({}, {})
    assert broken(empty, BEFORE.nodes, BEFORE.names) is None
    gone = {node: REMOVED for node in BEFORE.nodes if node != ROOT}
    assert broken(BEFORE, gone, dict.fromkeys(BEFORE.names, 0)) is None
