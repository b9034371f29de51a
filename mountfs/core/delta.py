"""From dirty ranges to the least that must be cut, hashed and sent. Pure.

FUSE cannot insert: what is overwritten in place keeps its offset, and so a chunk that is partly
overwritten becomes one chunk of the same length. Only what was appended, cut off or rewritten
whole is cut anew. The plan tiles the new file, from byte 0 to its size:

    Keep      entries of the base, as they are; their bytes are never looked at
    Gap       a hole
    Stretch   bytes to be built, from dirty bytes, from bytes of touched base chunks, and zeros

What a new chunk is then told as a difference from is decided in `delta_base.py`.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from backend_server.protocol.limits import CHUNK_SIZE_BYTES_MIN, KIB
from backend_server.protocol.manifests import EMPTY_MANIFEST
from mountfs.core.content import DirtyRange, Manifest

HOLE_BYTES_MIN: Final = 64 * KIB
"""A shorter gap next to new bytes is filled with zeros: an entry of its own would cost more."""
assert HOLE_BYTES_MIN <= CHUNK_SIZE_BYTES_MIN


class Keep(NamedTuple):
    """Entries `first` to `first + entry_count` of the base stay."""

    first: int
    entry_count: int


class Gap(NamedTuple):
    """`length` bytes that read as zeros and are stored nowhere."""

    length: int


class FromDirty(NamedTuple):
    """Bytes `start` to `end` of the file, from the dirty content."""

    start: int
    end: int


class FromBase(NamedTuple):
    """`length` bytes from byte `within` of entry `entry_index` of the base, which is a chunk."""

    entry_index: int
    within: int
    length: int


class FromZeros(NamedTuple):
    length: int


Part = FromDirty | FromBase | FromZeros


class Stretch(NamedTuple):
    """Bytes `start` to `end` of the new file, to be built from `parts`, in order.

    `replaces` is the entry of the base whose place and length it keeps: one chunk comes out. None:
    to be cut anew.
    """

    start: int
    end: int
    parts: tuple[Part, ...]
    replaces: int | None


Step = Keep | Gap | Stretch


class _Loose(NamedTuple):
    """Bytes to be cut anew, before neighbours are joined."""

    start: int
    end: int


class _Hollow(NamedTuple):
    """Bytes that are zero and not stored, before neighbours are joined."""

    start: int
    end: int


class _Patched(NamedTuple):
    """A chunk of the base that is partly overwritten."""

    entry_index: int


_Atom = Keep | _Loose | _Hollow | _Patched


def plan_delta(
    base: Manifest | None,
    *,
    base_visible_bytes: int,
    dirty: Sequence[DirtyRange],
    size_bytes: int,
    is_base_kept: bool = True,
) -> tuple[Step, ...]:
    """Return the steps that make up the new file. Pure; linear in the dirty ranges.

    Args:
        base_visible_bytes: How many bytes of `base`, from 0, show through where not dirty.
        dirty: Ordered, disjoint, within `size_bytes`.
        is_base_kept: If not, nobody has the base's chunks but this device: they are built anew.
    """
    if base is None:
        base = _NOTHING
    visible = min(base_visible_bytes, base.size_bytes, size_bytes)
    atoms = _join(_atoms(base, visible, dirty, size_bytes), base)
    steps = _steps(atoms, base, visible, dirty)
    return tuple(steps if is_base_kept else _rebuilt(steps, base))


_NOTHING: Final = Manifest(EMPTY_MANIFEST, ())


def _atoms(
    base: Manifest, visible: int, dirty: Sequence[DirtyRange], size_bytes: int
) -> Iterator[_Atom]:
    """Yield what tiles the new file; entries that lie wholly in `visible` come as they are."""
    whole_count = base.index_at(visible) if visible < base.size_bytes else len(base.entries)
    recut = _short_tail(base, visible, whole_count, dirty, size_bytes)
    next_index = 0
    for index in _touched(base, whole_count, dirty, recut):
        if index > next_index:
            yield Keep(next_index, index - next_index)
        next_index = index + 1
        start = base.starts[index]
        end = start + base.entries[index].length
        if index == recut or _is_covered(dirty, start, end):
            yield _Loose(start, end)
        elif base.entries[index].is_hole:
            yield from _mixed(dirty, start, end)
        else:
            yield _Patched(index)
    if whole_count > next_index:
        yield Keep(next_index, whole_count - next_index)
    at = base.starts[whole_count] if whole_count < len(base.entries) else base.size_bytes
    at = min(at, visible)
    if at < visible:
        # The entry that a truncation cut: what is left of it is no chunk of the base any more.
        if base.entries[whole_count].is_hole:
            yield from _mixed(dirty, at, visible)
        else:
            yield _Loose(at, visible)
    yield from _mixed(dirty, visible, size_bytes)


def _short_tail(
    base: Manifest, visible: int, whole_count: int, dirty: Sequence[DirtyRange], size_bytes: int
) -> int | None:
    """Return the base's last entry, if it is a short chunk that new bytes follow at once.

    It ended where the file ended, not where its content said so. Cutting it anew with what was
    appended keeps a log file that grows by lines from ending as thousands of tiny chunks.
    """
    last = whole_count - 1
    if last < 0 or visible != base.size_bytes or size_bytes == visible:
        return None
    entry = base.entries[last]
    if entry.is_hole or entry.length >= CHUNK_SIZE_BYTES_MIN:
        return None
    return last if _dirty_at(dirty, visible) else None


def _touched(
    base: Manifest, whole_count: int, dirty: Sequence[DirtyRange], also: int | None
) -> Iterator[int]:
    """Yield the indices below `whole_count` of entries that hold a dirty byte, and `also`."""
    if whole_count == 0:
        return
    end_of_whole = base.starts[whole_count - 1] + base.entries[whole_count - 1].length
    previous = -1
    for span in dirty:
        if span.start >= end_of_whole:
            break
        first = max(base.index_at(span.start), previous + 1)
        last = base.index_at(min(span.end, end_of_whole) - 1)
        yield from range(first, last + 1)
        previous = max(previous, last)
    if also is not None and also > previous:
        yield also


def _mixed(dirty: Sequence[DirtyRange], start: int, end: int) -> Iterator[_Loose | _Hollow]:
    """Yield `[start, end)`, whose clean bytes are zeros, in dirty and hollow runs."""
    at = start
    for span in _between(dirty, start, end):
        if span.start > at:
            yield _Hollow(at, span.start)
        yield _Loose(span.start, span.end)
        at = span.end
    if at < end:
        yield _Hollow(at, end)


def _join(atoms: Iterator[_Atom], base: Manifest) -> list[_Atom]:
    """Join neighbours of a kind, and let new bytes swallow short gaps beside them."""
    joined: list[_Atom] = []
    for atom in atoms:
        previous = joined[-1] if joined else None
        if isinstance(atom, _Loose):
            if isinstance(previous, _Hollow) and _is_short(previous):
                joined.pop()
                atom = _Loose(previous.start, atom.end)
                previous = joined[-1] if joined else None
            if isinstance(previous, _Loose):
                joined[-1] = _Loose(previous.start, atom.end)
                continue
        elif isinstance(atom, _Hollow):
            atom = _take_holes(joined, atom, base)
        joined.append(atom)
    return _swallow_after(joined)


def _take_holes(joined: list[_Atom], hollow: _Hollow, base: Manifest) -> _Hollow:
    """Take the holes in front, kept ones too: a file grown in steps has one hole, not many."""
    while joined:
        match joined[-1]:
            case _Hollow(start, _):
                joined.pop()
                hollow = _Hollow(start, hollow.end)
            case Keep(first, entry_count) if base.entries[first + entry_count - 1].is_hole:
                joined.pop()
                if entry_count > 1:
                    joined.append(Keep(first, entry_count - 1))
                hollow = _Hollow(base.starts[first + entry_count - 1], hollow.end)
            case _:
                break
    return hollow


def _swallow_after(joined: list[_Atom]) -> list[_Atom]:
    result: list[_Atom] = []
    for atom in joined:
        previous = result[-1] if result else None
        if isinstance(previous, _Loose) and (
            isinstance(atom, _Loose) or (isinstance(atom, _Hollow) and _is_short(atom))
        ):
            result[-1] = _Loose(previous.start, atom.end)
        else:
            result.append(atom)
    return result


def _is_short(hollow: _Hollow) -> bool:
    return hollow.end - hollow.start < HOLE_BYTES_MIN


def _steps(
    atoms: Sequence[_Atom], base: Manifest, visible: int, dirty: Sequence[DirtyRange]
) -> Iterator[Step]:
    for atom in atoms:
        match atom:
            case Keep():
                yield atom
            case _Hollow(start, end):
                yield Gap(end - start)
            case _Patched(index):
                start = base.starts[index]
                end = start + base.entries[index].length
                yield Stretch(start, end, tuple(_parts(base, visible, dirty, start, end)), index)
            case _Loose(start, end):
                yield Stretch(start, end, tuple(_parts(base, visible, dirty, start, end)), None)


def _rebuilt(steps: Iterator[Step], base: Manifest) -> Iterator[Step]:
    """Yield the steps, and in place of kept entries what builds them as they are."""
    for step in steps:
        if not isinstance(step, Keep):
            yield step
            continue
        for index in range(step.first, step.first + step.entry_count):
            start, entry = base.starts[index], base.entries[index]
            if entry.is_hole:
                yield Gap(entry.length)
            else:
                whole = FromBase(index, 0, entry.length)
                yield Stretch(start, start + entry.length, (whole,), index)


def _parts(
    base: Manifest, visible: int, dirty: Sequence[DirtyRange], start: int, end: int
) -> Iterator[Part]:
    at = start
    for span in _between(dirty, start, end):
        yield from _clean(base, visible, at, span.start)
        yield FromDirty(span.start, span.end)
        at = span.end
    yield from _clean(base, visible, at, end)


def _clean(base: Manifest, visible: int, start: int, end: int) -> Iterator[Part]:
    if start >= end:
        return
    for piece in base.pieces(start, min(end, visible) - start):
        if base.entries[piece.entry_index].is_hole:
            yield FromZeros(piece.length)
        else:
            yield FromBase(*piece)
    if end > visible:
        yield FromZeros(end - max(start, visible))


def _between(dirty: Sequence[DirtyRange], start: int, end: int) -> Iterator[DirtyRange]:
    """Yield the dirty ranges that touch `[start, end)`, cut to it."""
    for index in range(_first_ending_after(dirty, start), len(dirty)):
        span = dirty[index]
        if span.start >= end:
            return
        yield DirtyRange(max(span.start, start), min(span.end, end))


def _first_ending_after(dirty: Sequence[DirtyRange], offset: int) -> int:
    low, high = 0, len(dirty)
    while low < high:
        middle = (low + high) // 2
        if dirty[middle].end > offset:
            high = middle
        else:
            low = middle + 1
    return low


def _is_covered(dirty: Sequence[DirtyRange], start: int, end: int) -> bool:
    return next(_between(dirty, start, end), None) == (start, end)


def _dirty_at(dirty: Sequence[DirtyRange], offset: int) -> bool:
    return next(_between(dirty, offset, offset + 1), None) is not None
