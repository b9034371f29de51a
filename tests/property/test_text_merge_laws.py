"""Laws of the merge: nothing is lost, nothing is moved, nothing is guessed."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountfs.core import line_match
from mountfs.core.line_match import match_lines
from mountfs.core.text_merge import LINES_MAX, TEXT_BYTES_MAX, merge_lines, merge_texts

LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\r\n", b"\n", b"d\n"]), max_size=12)
TEXTS = st.builds(
    lambda lines, last: b"".join(lines) + last, LINES, st.sampled_from([b"", b"end", "ä".encode()])
)


def is_subsequence(part: list[bytes], whole: list[bytes]) -> bool:
    rest = iter(whole)
    return all(line in rest for line in part)


@given(old=LINES, new=LINES, differences_max=st.integers(0, 30), work_max=st.integers(0, 200))
def test_matched_lines_are_equal_and_in_order(
    old: list[bytes], new: list[bytes], differences_max: int, work_max: int
) -> None:
    """Also when the bounds cut the search short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_match, "DIFFERENCES_MAX", differences_max)
        patch.setattr(line_match, "WORK_MAX", work_max)
        found = match_lines(old, new)
    matched = [index for index in found if index is not None]
    assert matched == sorted(set(matched))
    for line, index in zip(old, found, strict=True):
        assert index is None or new[index] == line


@given(old=LINES, new=LINES)
def test_few_lines_are_matched_as_well_as_they_can_be_where_none_is_unique(
    old: list[bytes], new: list[bytes]
) -> None:
    old, new = old * 2, new * 2  # no anchors
    found = match_lines(old, new)
    assert sum(index is not None for index in found) == _longest_common(old, new)


def _longest_common(old: list[bytes], new: list[bytes]) -> int:
    row = [0] * (len(new) + 1)
    for line in old:
        above = row[:]
        for index, other in enumerate(new):
            row[index + 1] = (
                above[index] + 1 if line == other else max(above[index + 1], row[index])
            )
    return row[-1]


@given(base=TEXTS, edited=TEXTS)
def test_one_side_unchanged_the_other_stands(base: bytes, edited: bytes) -> None:
    assert merge_texts(base, base, edited) == edited
    assert merge_texts(base, edited, base) == edited


@given(base=TEXTS, edited=TEXTS)
def test_equal_edits_are_one(base: bytes, edited: bytes) -> None:
    assert merge_texts(base, edited, edited) == edited


@given(base=TEXTS, ours=TEXTS, theirs=TEXTS)
def test_it_does_not_matter_who_is_who(base: bytes, ours: bytes, theirs: bytes) -> None:
    assert merge_texts(base, ours, theirs) == merge_texts(base, theirs, ours)


@st.composite
def disjoint_edits(draw: st.DrawFn) -> tuple[list[bytes], list[bytes], list[bytes], list[bytes]]:
    """A base of distinct lines, each side's edit of it, and both together.

    The edits lie in ranges with at least one untouched line between any two.
    """
    base = [b"%d\n" % number for number in range(draw(st.integers(1, 20)))]
    new = (b"new %d\n" % number for number in itertools.count())
    ours: list[bytes] = []
    theirs: list[bytes] = []
    both: list[bytes] = []
    at = 0
    while True:
        removed = draw(st.integers(0, min(3, len(base) - at)))
        added = [next(new) for _ in range(draw(st.integers(0, 3)))]
        is_ours = draw(st.booleans())
        ours += added if is_ours else base[at : at + removed]
        theirs += base[at : at + removed] if is_ours else added
        both += added
        at += removed
        kept = base[at : at + draw(st.integers(1, 3))]
        for lines in (ours, theirs, both):
            lines += kept
        at += len(kept)
        if at >= len(base):
            return base, ours, theirs, both


@given(edits=disjoint_edits())
def test_edits_apart_always_merge_and_are_where_they_were_made(
    edits: tuple[list[bytes], list[bytes], list[bytes], list[bytes]],
) -> None:
    base, ours, theirs, both = edits
    assert merge_lines(base, ours, theirs) == both


@given(base=LINES, ours=LINES, theirs=LINES)
def test_what_one_side_added_is_there_and_what_neither_touched_is_in_order(
    base: list[bytes], ours: list[bytes], theirs: list[bytes]
) -> None:
    # The sides add lines that no one else has.
    ours = [b"ours " + line if index % 3 == 0 else line for index, line in enumerate(ours)]
    theirs = [b"theirs " + line if index % 4 == 0 else line for index, line in enumerate(theirs)]
    merged = merge_lines(base, ours, theirs)
    if merged is None:
        return
    for side in (ours, theirs):
        assert is_subsequence([line for line in side if line not in base], merged)
    in_ours, in_theirs = match_lines(base, ours), match_lines(base, theirs)
    untouched = [
        line
        for line, index, other in zip(base, in_ours, in_theirs, strict=True)
        if index is not None and other is not None
    ]
    assert is_subsequence(untouched, merged)
    assert set(merged) <= set(base) | set(ours) | set(theirs)


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged"),
    [
        (b"1\n2\n3\n", b"1!\n2\n3\n", b"1\n2\n3!\n", b"1!\n2\n3!\n"),
        (b"1\n2\n3\n", b"1!\n2\n3\n", b"1\n2!\n3\n", None),  # they touch
        (b"1\n2\n3\n", b"1\n2!\n3\n", b"1\n2?\n3\n", None),  # they overlap
        (b"1\n2\n3\n", b"1\n2!\n3\n", b"1\n2!\n3\n", b"1\n2!\n3\n"),
        (b"1\n2\n", b"1\nx\n2\n", b"1\ny\n2\n", None),  # both insert at one place
        (b"1\n2\n3\n", b"1\n3\n", b"1\n2\nx\n3\n", None),  # one removes what the other adds to
        (b"1\n2\n3\n", b"2\n3\n", b"1\n2\n", b"2\n"),
        (b"", b"a\n", b"b\n", None),
        (b"", b"a\n", b"a\n", b"a\n"),
        (b"1\r\n2\r\n3\r\n", b"0\r\n2\r\n3\r\n", b"1\r\n2\r\n4\r\n", b"0\r\n2\r\n4\r\n"),
        (b"1\n2\r\n3\n", b"0\n2\r\n3\n", b"1\n2\r\n4", b"0\n2\r\n4"),
        (b"1\n2\n3", b"0\n2\n3", b"1\n2\n3\n4", b"0\n2\n3\n4"),
        (b"1\n2\n3", b"1\n2\n3\n", b"1\n2\n3 more", None),
        (b"1\n2\n3\n", b"0\n2\n3\n", b"1\r\n2\r\n3\r\n", None),  # all line ends changed
        (b"1\n\n3\n", b"1\n\n4\n", b"0\n\n3\n", b"0\n\n4\n"),
        (b"\0\n2\n3\n", b"\0\n2\n4\n", b"\x01\n2\n3\n", None),
        (b"\xff\n2\n3\n", b"\xff\n2\n4\n", b"\xfe\n2\n3\n", None),
        ("ä\n2\n3\n".encode(), "ä\n2\nö\n".encode(), "ü\n2\n3\n".encode(), "ü\n2\nö\n".encode()),
    ],
)
def test_cases(base: bytes, ours: bytes, theirs: bytes, merged: bytes | None) -> None:
    assert merge_texts(base, ours, theirs) == merged
    assert merge_texts(base, theirs, ours) == merged


def test_what_is_too_large_is_not_merged() -> None:
    for length, merged in ((TEXT_BYTES_MAX - 4, True), (TEXT_BYTES_MAX - 2, False)):
        base = b"x" * (length - 1) + b"\n"
        ours, theirs = b"o\n" + base, base + b"th\n"
        assert (merge_texts(base, ours, theirs) is not None) == merged
    many = b"\n" * (LINES_MAX + 1)
    assert (
        merge_texts(b"a\n" + many + b"b\n", b"a\n" + many + b"c\n", b"d\n" + many + b"b\n") is None
    )


def test_two_texts_that_have_nothing_in_common_but_noise_are_given_up() -> None:
    """No unique line anywhere: the search ends at its bound, and the answer is no merge."""
    base = [b"%d\n" % (number * number % 97) for number in range(5000)]
    ours = [b"%d\n" % (number * 7 % 89) for number in range(5000)]
    assert merge_lines(base, ours, base[::-1]) is None
