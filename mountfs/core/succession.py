"""Saving keeps history: which new file is the next version of which old one.

Editors save in many ways: write a temporary file and rename it over the old one; unlink and
create; move the old one to a backup name and create. Programs must see what POSIX says (new
inodes, old handles on old bytes), but on the server the old node shall live on with the new
content, so that history, shares and the delta's base survive. Looked at as states, all these ways
are two patterns over dentries changed here since the last commit:

    takeover  (parent, name) led to T, leads to S, and T has no name left
    swap      (parent, name) led to T, leads to a new S, and T has just one new name in the folder
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

Key = tuple[int, bytes]


class ChangedDentry(Protocol):
    @property
    def key(self) -> Key: ...
    @property
    def node_id(self) -> int: ...
    @property
    def expected(self) -> int: ...


class Facts(Protocol):
    """What must be known of nodes."""

    def is_regular(self, node_id: int) -> bool: ...
    def is_created_here(self, node_id: int) -> bool: ...
    def is_settled(self, node_id: int) -> bool:
        """Neither parked nor otherwise to be left alone."""
        ...

    def places_here(self, node_id: int) -> Sequence[Key]:
        """Names as programs see them."""
        ...

    def places_on_server(self, node_id: int) -> Sequence[Key]: ...


class Takeover(NamedTuple):
    """`old` takes the content, attributes and inode of `new`; `new` is no more."""

    key: Key
    old: int
    new: int


class Swap(NamedTuple):
    """`old` takes name `key` and what `new` is; `new` takes `backup_key` and what `old` was."""

    key: Key
    backup_key: Key
    old: int
    new: int


def recognise(dentries: Iterable[ChangedDentry], facts: Facts) -> list[Takeover | Swap]:
    """Return the successions among the changed dentries; each node in at most one. Pure.

    Swaps go first: a file that moves to a backup name that is taken looks like a save over the
    backup as well. Once they are carried out, ask again.
    """
    candidates = [row for row in dentries if _may_succeed(row, facts)]
    found: list[Takeover | Swap] = []
    used: set[int] = set()
    for is_swap in (True, False):
        for row in candidates:
            old, new = row.expected, row.node_id
            if old in used or new in used:
                continue
            elsewhere = facts.places_here(old)
            if is_swap and _is_backup(elsewhere, row, facts):
                found.append(Swap(row.key, elsewhere[0], old, new))
            elif not is_swap and not elsewhere:
                found.append(Takeover(row.key, old, new))
            else:
                continue
            used |= {old, new}
    return found


def _may_succeed(row: ChangedDentry, facts: Facts) -> bool:
    old, new = row.expected, row.node_id
    return (
        bool(old and new and old != new)
        and facts.is_regular(old)
        and facts.is_regular(new)
        and facts.is_settled(old)
        and facts.is_settled(new)
        and list(facts.places_on_server(old)) == [row.key]
        and len(facts.places_here(new)) == 1
        and len(facts.places_on_server(new)) <= 1
    )


def _is_backup(elsewhere: Sequence[Key], row: ChangedDentry, facts: Facts) -> bool:
    return (
        len(elsewhere) == 1 and elsewhere[0][0] == row.key[0] and facts.is_created_here(row.node_id)
    )
