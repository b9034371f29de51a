"""A drive's counters, held against the rows that they count. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from backend_server.domain.epochs import EndedEpoch, count_skipped
from backend_server.domain.findings import Finding, FindingKind


@dataclass(frozen=True, slots=True)
class DriveCounters:
    """What a drive's row says, and what its other rows say about that.

    The journal has an entry for every sequence behind what was compacted, and none from before 2:
    the root folder is made with the drive. Between two epochs sequences are skipped.
    """

    drive_id: str
    head_sequence: int
    highest_sequence: int
    """Of any node, dentry or journal entry."""
    journal_count: int
    journal_first: int
    """0: the journal is empty. `journal_last` likewise."""
    journal_last: int
    compacted_through: int
    quota_used: int
    charged_bytes: int
    """Of all nodes; tombstones are charged nothing."""
    quota_reserved: int
    reserved_bytes: int
    """Of all uploads."""
    ended_epochs: Sequence[EndedEpoch] = ()


def find_journal_faults(counters: DriveCounters) -> list[Finding]:
    """Return what is wrong with a drive's head and journal. Pure."""
    findings = []
    if counters.highest_sequence > counters.head_sequence:
        findings.append(
            _finding(
                counters,
                FindingKind.HEAD_BEHIND,
                f"The drive's head is {counters.head_sequence}, but a change "
                f"{counters.highest_sequence} was made.",
            )
        )
    head = max(counters.head_sequence, counters.highest_sequence)
    first = max(counters.compacted_through, 1) + 1
    for ended in counters.ended_epochs:
        if ended.kept_through < first <= ended.resumed_at:
            first = ended.resumed_at + 1
    skipped_count = count_skipped(counters.ended_epochs, first=first, last=head)
    is_whole = counters.journal_count == head - first + 1 - skipped_count
    if not is_whole or (counters.journal_count and counters.journal_first != first):
        findings.append(
            _finding(
                counters,
                FindingKind.JOURNAL_GAP,
                f"The journal has {counters.journal_count} entries, from "
                f"{counters.journal_first} to {counters.journal_last}, where changes {first} to "
                f"{head} were made.",
                is_repairable=False,
            )
        )
    return findings


def find_quota_faults(counters: DriveCounters) -> list[Finding]:
    """Return what is wrong with what a drive counts as used and reserved. Pure."""
    findings = []
    if counters.quota_used != counters.charged_bytes:
        findings.append(
            _finding(
                counters,
                FindingKind.QUOTA_WRONG,
                f"The drive counts {counters.quota_used} bytes as used; its files have "
                f"{counters.charged_bytes}.",
            )
        )
    if counters.quota_reserved != counters.reserved_bytes:
        findings.append(
            _finding(
                counters,
                FindingKind.RESERVATION_WRONG,
                f"The drive counts {counters.quota_reserved} bytes as reserved; its uploads "
                f"reserve {counters.reserved_bytes}.",
            )
        )
    return findings


def _finding(
    counters: DriveCounters, kind: FindingKind, sentence: str, *, is_repairable: bool = True
) -> Finding:
    return Finding(kind, counters.drive_id, counters.drive_id, sentence, is_repairable)
