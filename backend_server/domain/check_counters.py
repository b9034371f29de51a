"""A drive's counters, held against the rows that they count. Pure."""

from dataclasses import dataclass

from backend_server.domain.findings import Finding, FindingKind


@dataclass(frozen=True, slots=True)
class DriveCounters:
    """What a drive's row says, and what its other rows say about that.

    The journal has an entry for every sequence from 2 on: the root folder is made with the drive.
    """

    drive_id: str
    head_sequence: int
    highest_sequence: int
    """Of any node, dentry or journal entry."""
    journal_count: int
    journal_first: int
    """0: the journal is empty. `journal_last` likewise."""
    journal_last: int
    quota_used: int
    charged_bytes: int
    """Of all nodes; tombstones are charged nothing."""
    quota_reserved: int
    reserved_bytes: int
    """Of all uploads."""


def find_counter_faults(counters: DriveCounters) -> list[Finding]:
    """Return what is wrong with a drive's counters and journal. Pure."""
    findings = []

    def found(kind: FindingKind, sentence: str, *, is_repairable: bool = True) -> None:
        drive_id = counters.drive_id
        findings.append(Finding(kind, drive_id, drive_id, sentence, is_repairable))

    if counters.highest_sequence > counters.head_sequence:
        found(
            FindingKind.HEAD_BEHIND,
            f"The drive's head is {counters.head_sequence}, but a change "
            f"{counters.highest_sequence} was made.",
        )
    head = max(counters.head_sequence, counters.highest_sequence)
    missing_count = (head - 1) - counters.journal_count
    if missing_count:
        found(
            FindingKind.JOURNAL_GAP,
            f"The journal has {counters.journal_count} entries, from {counters.journal_first} to "
            f"{counters.journal_last}, where changes 2 to {head} were made.",
            is_repairable=False,
        )
    if counters.quota_used != counters.charged_bytes:
        found(
            FindingKind.QUOTA_WRONG,
            f"The drive counts {counters.quota_used} bytes as used; its files have "
            f"{counters.charged_bytes}.",
        )
    if counters.quota_reserved != counters.reserved_bytes:
        found(
            FindingKind.RESERVATION_WRONG,
            f"The drive counts {counters.quota_reserved} bytes as reserved; its uploads reserve "
            f"{counters.reserved_bytes}.",
        )
    return findings
