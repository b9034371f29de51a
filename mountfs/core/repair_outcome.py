"""What becomes of findings, and how a command that checks ends. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mountfs.core.findings import Finding, FindingKind


class Outcome(StrEnum):
    FOUND = "found"
    """Nothing was done: nobody asked for a repair."""
    REPAIRED = "repaired"
    SET_ASIDE = "set_aside"
    """What was lost stays lost; the rest is in a recovered copy, and nothing stands in the way."""
    NEEDS_SERVER = "needs_server"
    """Only the server can bring it back, and it does not answer."""
    LEFT = "left"


_OF_THE_MIRROR: Final = frozenset({FindingKind.MIRROR_UNLAWFUL, FindingKind.MIRROR_WRONG})
_OF_THE_STATE: Final = frozenset({FindingKind.STATE_MISSING, FindingKind.STATE_DAMAGED})
_OF_OVERLAYS: Final = frozenset(
    {
        FindingKind.OVERLAY_UNLAWFUL,
        FindingKind.STAGED_BYTES_LOST,
        FindingKind.STAGING_UNCLAIMED,
    }
)


@dataclass(frozen=True, slots=True)
class DriveRepair:
    """What a repair of one drive's state is to do. A new state needs nothing else."""

    begins_anew: bool
    sets_aside: bool
    rebuilds_mirror: bool


def plan_drive_repair(findings: Iterable[Finding]) -> DriveRepair:
    """Return what is to be done about findings in one drive's state. Pure."""
    kinds = {finding.kind for finding in findings}
    begins_anew = bool(kinds & _OF_THE_STATE)
    return DriveRepair(
        begins_anew=begins_anew,
        sets_aside=not begins_anew and bool(kinds & _OF_OVERLAYS),
        rebuilds_mirror=not begins_anew and bool(kinds & _OF_THE_MIRROR),
    )


def outcome_of(finding: Finding, *, is_mirror_rebuilt: bool, has_copies: bool) -> Outcome:
    """Return what became of a finding in a drive's state when its repair was carried out. Pure.

    Args:
        has_copies: Bytes were set aside that the server may lack: a person has to look at them.
    """
    if finding.kind is FindingKind.STATE_OTHER_VERSION:
        return Outcome.LEFT
    if finding.kind in _OF_THE_STATE and has_copies:
        return Outcome.SET_ASIDE
    if finding.kind in _OF_THE_MIRROR and not is_mirror_rebuilt:
        return Outcome.NEEDS_SERVER
    return Outcome.REPAIRED if finding.is_repairable else Outcome.SET_ASIDE


def exit_code_of(outcomes: Sequence[Outcome]) -> int:
    """Return 0 for nothing wrong or all repaired, 3 if the server is needed, else 1. Pure."""
    if Outcome.NEEDS_SERVER in outcomes:
        return 3
    return 0 if all(outcome is Outcome.REPAIRED for outcome in outcomes) else 1
