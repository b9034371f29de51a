"""From samples to what the benchmark command prints: pure, and about no real figure."""

import math
import subprocess
import sys

import pytest

from benchmarks import figures, marks
from benchmarks.figures import FIGURE_OF, FIGURES, Column, Unit
from benchmarks.machine import CALM_SHARE, our_cpu_ticks, wait_for_calm
from benchmarks.marks import Mark, mark_of
from benchmarks.report import Report
from benchmarks.summaries import median, percentile
from benchmarks.table import number_text, render


@pytest.mark.parametrize(
    ("samples", "share", "expected"),
    [
        ([3.0], 0.5, 3.0),
        ([3.0], 0.99, 3.0),
        ([4.0, 1.0, 3.0, 2.0], 0.5, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 1.0, 4.0),
        (list(range(1, 41)), 0.5, 20),
        (list(range(1, 41)), 0.99, 40),
        (list(range(1, 201)), 0.99, 198),
    ],
)
def test_a_percentile_is_the_least_sample_that_so_many_do_not_exceed(
    samples: list[float], share: float, expected: float
) -> None:
    assert percentile(samples, share) == expected


def test_a_median_is_in_the_middle() -> None:
    assert median([9.0, 1.0, 2.0]) == 2.0
    assert median([1.0, 2.0]) == 1.5


@pytest.mark.parametrize(
    ("unit", "value", "is_reached"),
    [
        (Unit.PER_S, 11.0, True),
        (Unit.PER_S, 10.0, True),
        (Unit.PER_S, 9.99, False),
        (Unit.MB_PER_S, 11.0, True),
        (Unit.SECONDS, 11.0, False),
        (Unit.SECONDS, 10.0, True),
        (Unit.BYTES, 9.0, True),
        (Unit.MB, 10.1, False),
    ],
)
def test_a_rate_is_to_be_high_and_everything_else_low(
    unit: Unit, value: float, is_reached: bool
) -> None:
    assert Mark(10.0, "any").is_reached(value, unit) is is_reached


def test_every_mark_is_about_a_row_of_the_table_and_says_why() -> None:
    marked = {
        (figure, column): mark
        for figure in FIGURES
        for column in Column
        if (mark := mark_of(figure, column))
    }
    kept = sum(len(of_column) for of_column in marks.OF_COLUMN.values())
    assert len(marked) == kept, "a mark is about no row"
    assert all(mark.why and math.isfinite(mark.value) for mark in marked.values())
    assert not any(column is Column.PLAIN for _, column in marked)


def test_a_key_names_one_figure() -> None:
    assert len(FIGURE_OF) == len(FIGURES)


def _report(*, has_marks: bool = True) -> Report:
    report = Report(has_marks=has_marks)
    for value in (400.0, 900.0, 460.0):
        report.add(Column.LOOPBACK, {figures.WRITE_RETURN: value})
    report.add(Column.PLAIN, {figures.WRITE_RETURN: 1234.5})
    report.add(Column.LOOPBACK, {figures.WRITE_DURABLE: 101.25})
    report.add(Column.LOOPBACK, {figures.READ_PAGES: 5000.0})
    return report


def test_the_table_shows_medians_marks_and_whether_they_are_reached() -> None:
    assert render(_report()).splitlines() == [
        "workload                         unit  plain folder  loopback   mark  reached",
        "-------------------------------  ----  ------------  --------  -----  -------",
        "write 256 MiB, fsync: to return  MB/s         1,234       460    450      yes",
        "  … to durable on the server     MB/s             –       101    202       NO",
        "  … from the page cache          MB/s             –     5,000  3,000      yes",
    ]


def test_without_marks_nothing_is_reached_or_missed() -> None:
    text = render(_report(has_marks=False))
    assert "yes" not in text
    assert "NO" not in text


def test_json_keeps_every_sample_and_names_each_row_in_full() -> None:
    report = _report()
    report.others_share["large-file", Column.LOOPBACK] = [0.01]
    report.failures.append("wire-bytes: somehow")
    found = report.as_json()
    durable = next(one for one in found["figures"] if one["key"] == "write.durable")
    assert durable["title"] == "write 256 MiB, fsync: to return … to durable on the server"
    assert durable["columns"]["loopback"] == {
        "median": 101.25,
        "samples": [101.25],
        "mark": 202,
        "why": "best of the others",
        "is_reached": False,
    }
    first = found["figures"][0]["columns"]["loopback"]
    assert (first["median"], first["samples"]) == (460.0, [400.0, 900.0, 460.0])
    assert found["others"] == [
        {"workload": "large-file", "column": "loopback", "cpu_shares": [0.01]}
    ]
    assert found["failures"] == ["wire-bytes: somehow"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1_234_567.0, Unit.BYTES, "1,234,567"),
        (7.0, Unit.BYTES, "7"),
        (929.4, Unit.PER_S, "929"),
        (66.71, Unit.MB_PER_S, "66.7"),
        (1.066, Unit.SECONDS, "1.07"),
        (0.0834, Unit.SECONDS, "0.083"),
    ],
)
def test_a_number_has_the_digits_that_mean_something(value: float, unit: Unit, text: str) -> None:
    assert number_text(value, unit) == text


def test_a_measurement_waits_until_the_machine_is_calm() -> None:
    shares = iter([0.9, CALM_SHARE + 0.01, CALM_SHARE, 0.5])
    assert wait_for_calm(60.0, lambda: next(shares)) == CALM_SHARE
    assert next(shares) == 0.5, "it looked on although it was calm"


def test_the_work_of_a_child_is_ours() -> None:
    before = our_cpu_ticks()
    subprocess.run([sys.executable, "-c", "sum(range(5_000_000))"], check=True)
    assert our_cpu_ticks() > before


def test_without_patience_one_look_is_enough() -> None:
    assert wait_for_calm(0.0, lambda: 0.9) == 0.9
