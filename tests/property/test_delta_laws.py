"""Laws of the delta plan: it makes the model's bytes, and touches no more than it must."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_server.protocol.identity import ChunkId
from backend_server.protocol.limits import CHUNK_SIZE_BYTES_MIN, KIB
from backend_server.protocol.manifests import HOLE, Entry, manifest_id_of
from mountfs.core.content import DirtyRange, Manifest
from mountfs.core.delta import (
    FromBase,
    FromDirty,
    FromZeros,
    Gap,
    Keep,
    Step,
    Stretch,
    plan_delta,
)
from mountfs.core.delta_base import choose_delta_bases, places_of

# Bytes are runs of (where they come from, offset there): laws about 200 KiB need no 200 KiB.
Source = tuple[str, int]

lengths = st.one_of(
    st.integers(1, 300), st.integers(60 * KIB, 70 * KIB), st.integers(200 * KIB, 300 * KIB)
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    entries = []
    for nth, (length, is_hole) in enumerate(
        draw(st.lists(st.tuples(lengths, st.booleans()), max_size=8))
    ):
        chunk_id = HOLE if is_hole else ChunkId(nth.to_bytes(31, "big") + b"\1")
        entries.append(Entry(chunk_id, length))
    return Manifest(manifest_id_of(entries), entries)


@st.composite
def edits(draw: st.DrawFn) -> tuple[Manifest, int, list[DirtyRange], int]:
    """Return base, visible bytes, dirty ranges and new size."""
    base = draw(manifests())
    marks = sorted({0, base.size_bytes, *base.starts})
    near = st.builds(lambda mark, by: max(mark + by, 0), st.sampled_from(marks), st.integers(-3, 3))
    places = st.one_of(near, st.integers(0, base.size_bytes + 200 * KIB))
    visible = min(draw(st.one_of(st.just(base.size_bytes), places)), base.size_bytes)
    size = max(draw(st.one_of(st.just(base.size_bytes), places)), visible)
    points = sorted(draw(st.sets(places, max_size=12)))
    spans = [DirtyRange(a, min(b, size)) for a, b in list(pairwise(points))[::2] if a < size]
    dirty = [one for nth, one in enumerate(spans) if nth == 0 or spans[nth - 1].end < one.start]
    return base, visible, dirty, size


def model(base: Manifest, visible: int, dirty: list[DirtyRange], at: int) -> Source:
    """Return where byte `at` of the new file comes from."""
    if any(span.start <= at < span.end for span in dirty):
        return ("dirty", at)
    if at < visible and not base.entries[base.index_at(at)].is_hole:
        return ("base", at)
    return ("zero", 0)


def executed(base: Manifest, steps: tuple[Step, ...]) -> list[tuple[int, int, str, int]]:
    """Return runs (start, end, kind, offset in the source) of what the steps make."""
    runs: list[tuple[int, int, str, int]] = []
    at = 0

    def add(length: int, kind: str, source_at: int) -> None:
        nonlocal at
        runs.append((at, at + length, kind, source_at))
        at += length

    for step in steps:
        match step:
            case Keep(first, count):
                for index in range(first, first + count):
                    entry = base.entries[index]
                    add(entry.length, "zero" if entry.is_hole else "base", base.starts[index])
            case Gap(length):
                add(length, "zero", 0)
            case Stretch(start, end, parts, _):
                assert start == at
                for part in parts:
                    match part:
                        case FromDirty(begin, stop):
                            add(stop - begin, "dirty", begin)
                        case FromBase(index, within, length):
                            assert not base.entries[index].is_hole
                            add(length, "base", base.starts[index] + within)
                        case FromZeros(length):
                            add(length, "zero", 0)
                assert end == at
    return runs


def without_zeros(runs: list[tuple[int, int, str, int]]) -> list[tuple[int, int, str, int]]:
    return [run for run in runs if run[2] != "zero"]


@given(edits())
def test_the_plan_makes_the_models_bytes(
    edit: tuple[Manifest, int, list[DirtyRange], int],
) -> None:
    base, visible, dirty, size = edit
    runs = executed(
        base, plan_delta(base, base_visible_bytes=visible, dirty=dirty, size_bytes=size)
    )
    assert sum(end - start for start, end, _, _ in runs) == size
    marks = {mark for span in dirty for mark in span} | {visible, size, *base.starts}
    marks |= {start for start, _, _, _ in runs}
    for start, end, kind, source_at in runs:
        inside = {mark + by for mark in marks for by in (-1, 0) if start <= mark + by < end}
        for at in inside | {start, end - 1}:
            expected = (kind, source_at + at - start) if kind != "zero" else ("zero", 0)
            assert model(base, visible, dirty, at) == expected


@given(edits())
def test_without_the_base_the_same_file_is_built_and_nothing_kept(
    edit: tuple[Manifest, int, list[DirtyRange], int],
) -> None:
    """A server that came back from a backup has none of the base's chunks."""
    base, visible, dirty, size = edit
    kept, built = (
        plan_delta(
            base, base_visible_bytes=visible, dirty=dirty, size_bytes=size, is_base_kept=is_kept
        )
        for is_kept in (True, False)
    )
    assert without_zeros(executed(base, built)) == without_zeros(executed(base, kept))
    assert not any(isinstance(step, Keep) for step in built)
    for step in built:
        if isinstance(step, Stretch) and step.replaces is not None:
            assert step.start == base.starts[step.replaces]
            assert step.end - step.start == base.entries[step.replaces].length


@given(edits())
def test_steps_are_never_empty_and_holes_never_neighbours_of_gaps(
    edit: tuple[Manifest, int, list[DirtyRange], int],
) -> None:
    base, visible, dirty, size = edit
    steps = plan_delta(base, base_visible_bytes=visible, dirty=dirty, size_bytes=size)
    for step in steps:
        match step:
            case Keep(_, count):
                assert count > 0
            case Gap(length):
                assert length > 0
            case Stretch(start, end, parts, _):
                assert start < end
                assert parts
    for before, after in pairwise(steps):
        assert not (isinstance(before, Gap) and isinstance(after, Gap))
        assert not (
            isinstance(before, Stretch)
            and isinstance(after, Stretch)
            and before.replaces is None
            and after.replaces is None
        )


@given(edits())
def test_only_touched_chunks_are_read(
    edit: tuple[Manifest, int, list[DirtyRange], int],
) -> None:
    base, visible, dirty, size = edit
    steps = plan_delta(base, base_visible_bytes=visible, dirty=dirty, size_bytes=size)
    read = {
        part.entry_index
        for step in steps
        if isinstance(step, Stretch)
        for part in step.parts
        if isinstance(part, FromBase)
    }
    for index in read:
        start = base.starts[index]
        end = start + base.entries[index].length
        is_written = any(span.start < end and start < span.end for span in dirty)
        is_cut_off = visible < end
        is_short_tail = (
            index == len(base.entries) - 1
            and end - start < CHUNK_SIZE_BYTES_MIN
            and any(span.start <= end < span.end for span in dirty)
        )
        assert is_written or is_cut_off or is_short_tail


@given(edits())
def test_untouched_entries_keep_their_identity(
    edit: tuple[Manifest, int, list[DirtyRange], int],
) -> None:
    base, visible, dirty, size = edit
    steps = plan_delta(base, base_visible_bytes=visible, dirty=dirty, size_bytes=size)
    kept = {
        index
        for step in steps
        if isinstance(step, Keep)
        for index in range(step.first, step.first + step.entry_count)
    }
    for index, entry in enumerate(base.entries):
        start, end = base.starts[index], base.starts[index] + entry.length
        is_touched = any(span.start < end and start < span.end for span in dirty)
        is_short_tail = end == visible and entry.length < CHUNK_SIZE_BYTES_MIN
        # A hole has no identity: it may join a gap behind it.
        if end <= visible and not (is_touched or is_short_tail or entry.is_hole):
            assert index in kept


@given(edits())
def test_a_partly_overwritten_chunk_keeps_its_place_and_length(
    edit: tuple[Manifest, int, list[DirtyRange], int],
) -> None:
    base, visible, dirty, size = edit
    for step in plan_delta(base, base_visible_bytes=visible, dirty=dirty, size_bytes=size):
        if isinstance(step, Stretch) and step.replaces is not None:
            assert step.start == base.starts[step.replaces]
            assert step.end - step.start == base.entries[step.replaces].length


@given(edits())
def test_a_chunk_is_cut_anew_only_if_nothing_of_it_is_left_in_place(
    edit: tuple[Manifest, int, list[DirtyRange], int],
) -> None:
    base, visible, dirty, size = edit
    steps = plan_delta(base, base_visible_bytes=visible, dirty=dirty, size_bytes=size)
    patched = {
        step.replaces for step in steps if isinstance(step, Stretch) and step.replaces is not None
    }
    for index, entry in enumerate(base.entries):
        start, end = base.starts[index], base.starts[index] + entry.length
        inside = [span for span in dirty if span.start < end and start < span.end]
        is_covered = any(span.start <= start and end <= span.end for span in inside)
        is_short_tail = end == visible and entry.length < CHUNK_SIZE_BYTES_MIN
        if entry.is_hole or end > visible or is_covered or is_short_tail:
            continue
        assert (index in patched) == bool(inside)


HUGE = 1 << 40


@pytest.mark.parametrize(
    ("entries", "visible", "dirty", "size", "expected"),
    [
        # Growing again and again leaves one hole, not many.
        (
            [(1, 70_000), (0, HUGE)],
            70_000 + HUGE,
            [],
            70_001 + HUGE,
            (Keep(0, 1), Gap(HUGE + 1)),
        ),
        ([(0, HUGE)], 5, [], 10, (Gap(10),)),
        (
            [(0, HUGE), (0, 1), (0, 1)],
            HUGE + 2,
            [(0, 1)],
            HUGE + 3,
            (Stretch(0, 1, (FromDirty(0, 1),), None), Gap(HUGE + 2)),
        ),
        # A short gap beside new bytes is filled, a long one stays a hole.
        (
            [],
            0,
            [(0, 10), (20, 30)],
            40,
            (
                Stretch(
                    0, 40, (FromDirty(0, 10), FromZeros(10), FromDirty(20, 30), FromZeros(10)), None
                ),
            ),
        ),
        (
            [],
            0,
            [(0, 10), (HUGE, HUGE + 5)],
            HUGE + 5,
            (
                Stretch(0, 10, (FromDirty(0, 10),), None),
                Gap(HUGE - 10),
                Stretch(HUGE, HUGE + 5, (FromDirty(HUGE, HUGE + 5),), None),
            ),
        ),
        # A gap beside a chunk that stays is a hole, however short.
        ([(1, 70_000)], 70_000, [], 70_010, (Keep(0, 1), Gap(10))),
        # What a truncation left of a chunk is cut anew.
        ([(1, 70_000)], 10, [], 10, (Stretch(0, 10, (FromBase(0, 0, 10),), None),)),
        ([(1, 70_000)], 0, [], 0, ()),
    ],
)
def test_plans_worth_seeing(
    entries: list[tuple[int, int]],
    visible: int,
    dirty: list[tuple[int, int]],
    size: int,
    expected: tuple[Step, ...],
) -> None:
    made = [Entry(chunk(number) if number else HOLE, length) for number, length in entries]
    base = Manifest(manifest_id_of(made), made)
    ranges = [DirtyRange(*one) for one in dirty]
    plan = plan_delta(base, base_visible_bytes=visible, dirty=ranges, size_bytes=size)
    assert plan == expected


def chunk(number: int) -> ChunkId:
    return ChunkId(number.to_bytes(32, "big"))


def file_of(numbers: list[int]) -> Manifest:
    entries = [Entry(chunk(number), 100) for number in numbers]
    return Manifest(manifest_id_of(entries), entries)


@given(st.lists(st.integers(1, 30), max_size=20), st.lists(st.integers(1, 60), max_size=20))
def test_every_base_is_a_chunk_of_the_old_file(old: list[int], new: list[int]) -> None:
    manifest = file_of(old)
    ids = [chunk(number) for number in new]
    bases, _ = choose_delta_bases(
        ids, manifest, places_of(manifest), expected=0, end=len(manifest.entries)
    )
    assert len(bases) == len(new)
    for number, base in zip(new, bases, strict=True):
        assert base is None or 0 <= base < len(old)
        if number in old:
            assert base is None


@given(st.integers(2, 40), st.data())
def test_a_changed_chunk_is_told_against_the_one_between_its_neighbours(
    count: int, data: st.DataObject
) -> None:
    """An insertion moved everything, one chunk changed: it finds the one it was."""
    old = file_of(list(range(1, count + 1)))
    changed = data.draw(st.integers(0, count - 1))
    new = [chunk(number) for number in range(1, count + 1)]
    new[changed] = chunk(1000)
    bases, _ = choose_delta_bases(new, old, places_of(old), expected=0, end=len(old.entries))
    assert bases[changed] == changed
    assert [base for nth, base in enumerate(bases) if nth != changed] == [None] * (count - 1)


@given(st.integers(1, 40), st.data())
def test_windows_choose_like_the_whole(count: int, data: st.DataObject) -> None:
    """Cutting the new file into windows changes no choice while chunks correspond one to one."""
    old = file_of(list(range(1, count + 1)))
    places = places_of(old)
    changed = data.draw(st.sets(st.integers(0, count - 1)))
    new = [chunk(1000 + n if n in changed else n + 1) for n in range(count)]
    whole, _ = choose_delta_bases(new, old, places, expected=0, end=count)
    at = data.draw(st.integers(0, count))
    first, expected = choose_delta_bases(new[:at], old, places, expected=0, end=None)
    second, _ = choose_delta_bases(new[at:], old, places, expected=expected, end=count)
    assert first + second == whole
