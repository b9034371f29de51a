"""What a check found, bounded: every finding is counted, so many of each kind are kept."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Protocol

from backend_server.domain.findings import Finding, FindingKind

KEPT_OF_A_KIND_MAX: Final = 100


@dataclass(slots=True)
class CheckReport:
    """Grows while the check runs. `found` and `repaired` count by kind."""

    findings: list[Finding] = field(default_factory=list)
    found: Counter[FindingKind] = field(default_factory=Counter)
    repaired: Counter[FindingKind] = field(default_factory=Counter)
    awaited_count: int = 0
    """Chunks that are lost and known as such, until a device brings them."""
    young_count: int = 0
    """Objects that no row knows, and that may be of an upload on its way."""

    def add(self, finding: Finding, *, is_repaired: bool = False) -> None:
        """Take a finding, and whether it has been set right."""
        self.found[finding.kind] += 1
        if is_repaired:
            self.repaired[finding.kind] += 1
        if self.found[finding.kind] <= KEPT_OF_A_KIND_MAX:
            self.findings.append(finding)

    @property
    def left_count(self) -> int:
        """How many findings are not repaired."""
        return self.found.total() - self.repaired.total()


class CheckProgress(Protocol):
    """Is told how far the check is. Must not block."""

    def begin(self, what: str) -> None:
        """A part of the check begins."""
        ...

    def advance(self, count: int) -> None:
        """So many more rows or files of it are done."""
        ...


class NoProgress:
    """Tells nobody."""

    def begin(self, what: str) -> None:
        pass

    def advance(self, count: int) -> None:
        pass
