"""Which of the bytes that were written here are gone, and which rows contradict each other."""

from mountfs.core.findings import FindingKind
from mountfs.core.overlay_laws import (
    GenerationFacts,
    LogRow,
    OverlayFacts,
    Range,
    find_broken_generations,
    find_in_overlays,
    find_lost,
    find_unclaimed_files,
    ranges_text,
    replay,
)

NODE = 5
STAGED_ROWS = [LogRow(1, 0, 100, None), LogRow(2, 200, 300, None)]


def facts(
    *generations: GenerationFacts,
    files: dict[int, int] | None = None,
    strays: dict[int, list[LogRow]] | None = None,
) -> OverlayFacts:
    sizes = {g.generation_id: g.file_bytes for g in generations if g.file_bytes is not None}
    return OverlayFacts({NODE}, generations, strays or {}, sizes | (files or {}))


def test_what_is_whole_is_well() -> None:
    whole = facts(
        GenerationFacts(1, NODE, 0, 0, STAGED_ROWS, 300), GenerationFacts(2, NODE, 0, 0, [], None)
    )
    assert list(find_in_overlays(whole, {NODE: "letter"}, place="here")) == []


def test_lost_is_what_lies_behind_the_end_of_the_file() -> None:
    cut = facts(GenerationFacts(1, NODE, 0, 0, STAGED_ROWS, 50))
    (lost,) = find_lost(cut)
    assert lost.ranges == (Range(50, 100), Range(200, 300))
    (gone,) = find_lost(facts(GenerationFacts(1, NODE, 0, 0, STAGED_ROWS, None)))
    assert gone.ranges == (Range(0, 100), Range(200, 300))
    assert "gone" in gone.reason


def test_what_was_cut_off_or_covered_since_needs_no_bytes() -> None:
    rows = [*STAGED_ROWS, LogRow(3, 100, None, None)]
    assert find_lost(facts(GenerationFacts(1, NODE, 0, 0, rows, 100))) == []
    covered = [LogRow(1, 0, 10, None), LogRow(2, 0, 10, 10)]
    assert find_lost(facts(GenerationFacts(1, NODE, 0, 0, covered, None))) == []


def test_what_a_later_layer_covers_or_cut_off_needs_no_bytes() -> None:
    gone = GenerationFacts(1, NODE, 0, 0, STAGED_ROWS, None)
    above = [LogRow(9, 0, None, None), LogRow(10, 0, 300, None)]
    assert find_lost(facts(gone, GenerationFacts(2, NODE, 300, 300, above, 300))) == []
    partly = GenerationFacts(2, NODE, 300, 300, [LogRow(9, 50, 250, None)], 250)
    (lost,) = find_lost(facts(gone, partly))
    assert lost.ranges == (Range(0, 50), Range(250, 300))


def test_what_belongs_to_nobody_cannot_be_lost() -> None:
    assert find_lost(facts(GenerationFacts(1, 0, 0, 0, STAGED_ROWS, None))) == []


def test_rows_that_make_no_sense_are_told_and_passed_over() -> None:
    rows = [LogRow(1, 5, 5, None), LogRow(2, -1, 4, None), LogRow(3, 0, 4, 9), LogRow(4, 0, 4, 4)]
    assert [
        (e.start, e.end) for e in replay(GenerationFacts(1, NODE, 0, 0, rows, None)).extents
    ] == [(0, 4)]
    assert list(find_broken_generations(facts(GenerationFacts(1, NODE, 0, 0, rows, None)))) == [1]


def test_generations_without_a_file_and_rows_without_a_generation() -> None:
    odd = facts(GenerationFacts(1, NODE + 1, 0, 0, [], None), strays={7: []}, files={7: 1, 8: 2})
    assert find_broken_generations(odd).keys() == {1, 7}
    assert find_unclaimed_files(odd) == [8]
    found = list(find_in_overlays(odd, {NODE + 1: "letter"}, place="here"))
    assert [(finding.kind, finding.place) for finding in found] == [
        (FindingKind.OVERLAY_UNLAWFUL, "letter"),
        (FindingKind.OVERLAY_UNLAWFUL, "here"),
        (FindingKind.STAGING_UNCLAIMED, "here/staging/8"),
    ]


def test_ranges_for_a_person() -> None:
    ranges = [Range(nth, nth + 1) for nth in range(5)]
    assert ranges_text(ranges[:1]) == "bytes 0 to 1"
    assert ranges_text(ranges) == "bytes 0 to 1, 1 to 2, 2 to 3 and 2 more ranges"
