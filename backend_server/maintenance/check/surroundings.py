"""What every part of a check is given."""

from collections.abc import Callable
from dataclasses import dataclass, field

from backend_server.blocks.folder_inspection import FolderInspection
from backend_server.maintenance.check.report import CheckProgress, CheckReport, NoProgress
from backend_server.metadata.database import Database
from backend_server.services.key_wrap import MasterKey


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """`is_quick`: blocks that have their size are not read."""

    is_repairing: bool = False
    is_quick: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`master` is None where it cannot be had; a repair always has it."""

    database: Database
    folder: FolderInspection
    master: MasterKey | None
    options: CheckOptions
    clock_ms: Callable[[], int]
    report: CheckReport = field(default_factory=CheckReport)
    progress: CheckProgress = field(default_factory=NoProgress)

    def __post_init__(self) -> None:
        assert self.master is not None or not self.options.is_repairing
