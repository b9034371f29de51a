"""What the outcomes of one suite on two folders say. Pure."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase


class Outcome(enum.StrEnum):
    PASSED = "passed"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Case:
    """One case on one folder. `said`: its last words, for a person."""

    outcome: Outcome
    said: str = ""


Cases = Mapping[str, Case]


@dataclass(frozen=True)
class Excuse:
    """Cases of a suite (`pattern` as in fnmatch) that cannot pass on a mount, and why."""

    suite: str
    pattern: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    """`faults` are cases by name, with what they said on the mount."""

    passed: int
    failed_on_both: tuple[str, ...]
    excused: tuple[str, ...]
    faults: Mapping[str, str]


def judge(suite: str, plain: Cases, mounted: Cases, excuses: Sequence[Excuse]) -> Verdict:
    """Hold the mount's outcomes against the plain folder's.

    A case that the plain folder passed and the mount skipped, or never came to, is a fault as well.
    """
    passed, failed_on_both, excused, faults = 0, [], [], {}
    patterns = [excuse.pattern for excuse in excuses if excuse.suite == suite]
    for name, case in plain.items():
        if case.outcome is Outcome.FAILED:
            failed_on_both.append(name)
        if case.outcome is not Outcome.PASSED:
            continue
        found = mounted.get(name, Case(Outcome.FAILED, "did not run"))
        if found.outcome is Outcome.PASSED:
            passed += 1
        elif any(fnmatchcase(name, pattern) for pattern in patterns):
            excused.append(name)
        else:
            faults[name] = found.said or found.outcome.value
    return Verdict(passed, tuple(failed_on_both), tuple(excused), faults)
