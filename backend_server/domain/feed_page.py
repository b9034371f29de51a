"""Where a page of the feed ends. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PageCut:
    """The page holds rows up to and including `last_sequence`."""

    last_sequence: int
    has_more: bool


def decide_page_cut(
    node_sequences: Sequence[int],
    dentry_sequences: Sequence[int],
    *,
    head_sequence: int,
    rows_max: int,
) -> PageCut:
    """Return where to cut. Pure.

    A page never ends inside a sequence: what one operation changed arrives together. One
    operation never changes more than `rows_max` rows (`operation_shape` sees to it).

    Args:
        node_sequences: Of the rows behind the cursor, ascending, at most `rows_max + 1` of them.
        dentry_sequences: Likewise.
        head_sequence: The drive's head in the transaction that read the rows.
    """
    merged = sorted([*node_sequences, *dentry_sequences])
    if len(merged) <= rows_max:
        return PageCut(head_sequence, has_more=False)
    first_left_out = merged[rows_max]
    last = next((at for at in reversed(merged[:rows_max]) if at < first_left_out), None)
    assert last is not None, "one operation changed more rows than a page holds"
    return PageCut(last, has_more=True)
