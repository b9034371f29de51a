"""Two edits of one text, brought together on the text that both began from: diff3, line by line.

A merge is clean or it is none. Between two lines that neither side touched, only one side may have
changed anything, or both must have changed it to the same: edits that overlap or touch each other
are a person's to decide. Nothing is placed by likeness (as a fuzzy patch would): each line of the
result lies between the same untouched lines as on the side that it comes from.

Lines are kept as they are, ends included (CRLF, LF, none at the end of the file).

Source: S. Khanna, K. Kunal, B. Pierce, "A Formal Investigation of Diff3" (2007).
"""

from collections.abc import Sequence
from typing import Final

from mountfs.core.line_match import match_lines

TEXT_BYTES_MAX: Final = 1 << 20
"""Of each of the three."""
LINES_MAX: Final = 20_000


def merge_texts(base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """Return the text with both edits; None if they are in each other's way, or it is no text.

    Pure. Symmetric in `ours` and `theirs`.
    """
    if ours == theirs:
        return ours
    if not all(_is_text(text) for text in (base, ours, theirs)):
        return None
    sides = [_lines(text) for text in (base, ours, theirs)]
    if any(len(lines) > LINES_MAX for lines in sides):
        return None
    merged = merge_lines(*sides)
    return None if merged is None else b"".join(merged)


def merge_lines(
    base: Sequence[bytes], ours: Sequence[bytes], theirs: Sequence[bytes]
) -> list[bytes] | None:
    """Return the lines with both edits; None if they overlap or touch each other. Pure."""
    in_ours, in_theirs = match_lines(base, ours), match_lines(base, theirs)
    merged: list[bytes] = []
    at, our_at, their_at = 0, 0, 0
    ends = [(len(base), len(ours), len(theirs))]
    untouched = [
        (index, our_index, their_index)
        for index, (our_index, their_index) in enumerate(zip(in_ours, in_theirs, strict=True))
        if our_index is not None and their_index is not None
    ]
    for index, our_index, their_index in untouched + ends:
        chosen = _choose(base[at:index], ours[our_at:our_index], theirs[their_at:their_index])
        if chosen is None:
            return None
        merged += chosen
        merged += base[index : index + 1]
        at, our_at, their_at = index + 1, our_index + 1, their_index + 1
    return merged


def _choose(
    base: Sequence[bytes], ours: Sequence[bytes], theirs: Sequence[bytes]
) -> Sequence[bytes] | None:
    """Return what stands between two untouched lines."""
    if theirs == base:
        return ours
    if ours in (base, theirs):
        return theirs
    return None


def _lines(text: bytes) -> list[bytes]:
    """Return lines with their ends; only a line feed ends one (a CR before it is part of it)."""
    lines = text.split(b"\n")
    last = lines.pop()
    return [line + b"\n" for line in lines] + ([last] if last else [])


def _is_text(content: bytes) -> bool:
    if len(content) > TEXT_BYTES_MAX or b"\0" in content:
        return False
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
