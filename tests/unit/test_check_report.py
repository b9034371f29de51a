"""What a check keeps and shows of what it found: bounded, counted, and with what to do."""

import io
import json
from pathlib import Path

from rich.console import Console

from backend_server.cli.check_view import (
    SHOWN_OF_A_KIND_MAX,
    print_report,
    report_json,
    shown_progress,
)
from backend_server.domain.findings import REMEDIES, Finding, FindingKind
from backend_server.maintenance.check.report import KEPT_OF_A_KIND_MAX, CheckReport

DATA = Path("/srv/mountfs")
MANY = 3 * KEPT_OF_A_KIND_MAX


def finding(kind: FindingKind, nth: int = 0) -> Finding:
    return Finding(kind, "00000000000000aa", str(nth), f"It [is] broken: {kind} {nth}.", True)


def filled() -> CheckReport:
    report = CheckReport()
    for nth in range(MANY):
        report.add(finding(FindingKind.BLOCK_MISSING, nth), is_repaired=nth > 0)
    report.add(finding(FindingKind.QUOTA_WRONG), is_repaired=True)
    return report


def printed(report: CheckReport) -> str:
    out = io.StringIO()
    print_report(report, DATA, Console(file=out, width=200, soft_wrap=True, highlight=False))
    return out.getvalue()


def test_all_are_counted_and_some_are_kept() -> None:
    report = filled()
    assert report.found == {FindingKind.BLOCK_MISSING: MANY, FindingKind.QUOTA_WRONG: 1}
    assert len(report.findings) == KEPT_OF_A_KIND_MAX + 1
    assert report.left_count == 1


def test_people_see_some_of_each_kind_all_counts_and_what_is_left_to_do() -> None:
    text = printed(filled())
    assert text.count("It [is] broken: block_missing") == SHOWN_OF_A_KIND_MAX
    assert f"{MANY}" in text
    assert f"{MANY - 1}" in text
    assert REMEDIES[FindingKind.BLOCK_MISSING] in text
    assert REMEDIES[FindingKind.QUOTA_WRONG] not in text.split("What to do:")[1]


def test_what_is_in_order_or_repaired_is_said_to_be() -> None:
    assert printed(CheckReport()) == f"{DATA} is in order.\n"
    report = CheckReport()
    report.add(finding(FindingKind.QUOTA_WRONG), is_repaired=True)
    assert "is repaired. Start the server." in printed(report)


def test_programs_get_the_same() -> None:
    report = filled()
    report.awaited_count, report.young_count = 3, 4
    told = json.loads(report_json(report, DATA))
    assert told["is_clean"] is False
    assert told["found"] == {"block_missing": MANY, "quota_wrong": 1}
    assert told["repaired"] == {"block_missing": MANY - 1, "quota_wrong": 1}
    assert told["remedies"] == [REMEDIES[FindingKind.BLOCK_MISSING]]
    assert (told["awaited_chunks"], told["young_objects"]) == (3, 4)
    assert told["findings"][0] == {
        "kind": "block_missing",
        "drive_id": "00000000000000aa",
        "subject": "0",
        "sentence": "It [is] broken: block_missing 0.",
        "is_repairable": True,
    }


def test_progress_is_for_terminals() -> None:
    quiet, shown = io.StringIO(), io.StringIO()
    for out, is_terminal in ((quiet, False), (shown, True)):
        console = Console(file=out, force_terminal=is_terminal, width=100)
        with shown_progress(console) as progress:
            progress.begin("[the] blocks")
            progress.advance(1234)
    assert quiet.getvalue() == ""
    assert "checking [the] blocks" in shown.getvalue()
    assert "1,234" in shown.getvalue()
