"""The laws of a mirror, and how two trees differ."""

import pytest

from mountfs.core.findings import SHOWN_OF_A_KIND_MAX, Finding, FindingKind, bounded
from mountfs.core.mirror_laws import Key, find_differences, find_unlawful, path_in

FOLDERS = {1: True, 2: True, 3: True, 9: False}
TREE: dict[Key, tuple[int, bool]] = {
    (1, b"a"): (2, True),
    (2, b"b"): (3, True),
    (3, b"f"): (9, False),
    (1, b"link"): (9, False),
}


def sentences(
    is_folder: dict[int, bool], dentries: dict[Key, tuple[int, bool]]
) -> list[tuple[FindingKind, str]]:
    found = find_unlawful(is_folder, dentries, place="here")
    return [(finding.kind, finding.sentence) for finding in found]


def test_a_tree_is_lawful() -> None:
    assert sentences(FOLDERS, TREE) == []


@pytest.mark.parametrize(
    ("is_folder", "dentries", "said"),
    [
        ({}, {}, ["no root"]),
        ({1: False}, {}, ["no root"]),
        (FOLDERS | {4: False}, TREE, ["4 has no way from the root"]),
        (FOLDERS, TREE | {(7, b"x"): (9, False)}, ["x lies in 7"]),
        (FOLDERS, TREE | {(9, b"x"): (9, False)}, ["x lies in 9"]),
        (FOLDERS, TREE | {(1, b"x"): (8, False)}, ["leads to 8"]),
        (FOLDERS, TREE | {(1, b"a"): (2, False)}, ["wrong about"]),
        (FOLDERS, TREE | {(1, b"x"): (3, True)}, ["3 has the name x too many"]),
        (FOLDERS, TREE | {(3, b"x"): (1, True)}, ["1 has the name x too many"]),
        (
            FOLDERS | {5: True, 6: True},
            TREE | {(5, b"y"): (6, True), (6, b"x"): (5, True)},
            ["5 is inside itself", "6 is inside itself"],
        ),
    ],
)
def test_each_broken_law_is_told(
    is_folder: dict[int, bool], dentries: dict[Key, tuple[int, bool]], said: list[str]
) -> None:
    found = sentences(is_folder, dentries)
    assert all(kind is FindingKind.MIRROR_UNLAWFUL for kind, _ in found)
    assert len(found) == len(said), found
    assert all(part in sentence for part, (_, sentence) in zip(said, found, strict=True)), found


def test_differences_are_told_row_by_row() -> None:
    found = find_differences(
        {1: ("a",), 2: ("b",), 3: ("c",)},
        {(1, b"same"): 2, (1, b"moved"): 2, (1, b"ours"): 3},
        true_nodes={1: ("a",), 2: ("B",), 4: ("d",)},
        true_dentries={(1, b"same"): 2, (1, b"moved"): 4, (1, b"theirs"): 4},
        place="here",
    )
    assert [finding.sentence for finding in found] == [
        "the node 2 is not as it is on the server",
        "the node 3 is not on the server",
        "the node 4 is missing",
        "the name moved in 1 leads elsewhere on the server",
        "the name ours in 1 is not on the server",
        "the name theirs in 1 is missing",
    ]


def test_a_path_leads_from_the_root_or_says_so() -> None:
    names: dict[int, Key] = {2: (1, b"a"), 3: (2, b"b"), 5: (6, b"y"), 6: (5, b"x"), 7: (8, b"z")}
    assert [path_in(names, node) for node in (1, 2, 3, 7)] == [b"", b"a", b"a/b", b"?/z"]
    assert path_in(names, 5).startswith(b"?/")


def test_of_each_kind_so_many_are_shown_and_the_rest_is_counted() -> None:
    many = [Finding(FindingKind.MIRROR_WRONG, "here", str(nth)) for nth in range(50)]
    other = Finding(FindingKind.STATE_MISSING, "there", "gone")
    shown = list(bounded([*many, other]))
    assert shown[: SHOWN_OF_A_KIND_MAX - 1] == many[: SHOWN_OF_A_KIND_MAX - 1]
    assert other in shown
    assert len(shown) == SHOWN_OF_A_KIND_MAX + 1
    assert shown[-1].sentence == f"{SHOWN_OF_A_KIND_MAX - 1}; and 30 more of this kind"
    assert list(bounded(many[:SHOWN_OF_A_KIND_MAX])) == many[:SHOWN_OF_A_KIND_MAX]
