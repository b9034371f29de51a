"""A block, held against its row: which of the two is right, and what to do. Pure.

A block that opens with the drive's key to the chunk of its name is good, whatever its row says. One
that does not is no good, even if it is as it was stored. Where there is no key, the recorded
digest alone tells.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from backend_server.domain.findings import Finding, FindingKind


class Opening(Enum):
    """What came of opening a block."""

    NOT_TRIED = auto()
    """Not read, or no key at hand."""
    GOOD = auto()
    BROKEN = auto()
    KEY_GONE = auto()
    """It says that it is sealed under a key that the drive has no more."""


class Treatment(StrEnum):
    """What a repair does about a block."""

    FORGET = "forget"
    """Its row claims it no more."""
    QUARANTINE = "quarantine"
    """Its bytes are moved aside, then its row claims it no more."""
    RECORD = "record"
    """Its row is written as the block is."""
    RESTORE = "restore"
    """Its row claims it again."""


@dataclass(frozen=True, slots=True)
class RecordedBlock:
    """What the row says. `length` is of the plaintext."""

    size_bytes: int
    digest: bytes
    length: int


@dataclass(frozen=True, slots=True)
class FoundBlock:
    """What is there. `digest` is None if it was not read; `length` is known if it opened."""

    size_bytes: int
    digest: bytes | None = None
    opening: Opening = Opening.NOT_TRIED
    length: int = 0


@dataclass(frozen=True, slots=True)
class BlockFault:
    """A finding, and what a repair does about it; None: nothing."""

    finding: Finding
    treatment: Treatment | None


def looks_right(recorded: RecordedBlock, found: FoundBlock | None) -> bool:
    """Whether a block need not be read by a quick check. Pure."""
    return found is not None and found.size_bytes == recorded.size_bytes


def find_block_fault(
    drive_id: str, chunk_id: bytes, recorded: RecordedBlock, found: FoundBlock | None
) -> BlockFault | None:
    """Return what is wrong with a block that its row says is stored, or None. Pure."""
    chunk = chunk_id.hex()

    def fault(kind: FindingKind, sentence: str, treatment: Treatment | None) -> BlockFault:
        is_repairable = treatment is not None
        return BlockFault(Finding(kind, drive_id, chunk, sentence, is_repairable), treatment)

    if found is None:
        return fault(
            FindingKind.BLOCK_MISSING,
            f"The block of chunk {chunk} is not there.",
            Treatment.FORGET,
        )
    is_as_recorded = found.size_bytes == recorded.size_bytes and (
        found.digest in (None, recorded.digest)
    )
    if found.opening is Opening.GOOD:
        if is_as_recorded and found.length == recorded.length:
            return None
        return fault(
            FindingKind.BLOCK_RECORD_WRONG,
            f"The block of chunk {chunk} is good, but the database describes it wrongly.",
            Treatment.RECORD,
        )
    if found.size_bytes != recorded.size_bytes:
        return fault(
            FindingKind.BLOCK_TRUNCATED,
            f"The block of chunk {chunk} has {found.size_bytes} of {recorded.size_bytes} bytes.",
            Treatment.QUARANTINE,
        )
    if not is_as_recorded:
        return fault(
            FindingKind.BLOCK_DAMAGED,
            f"The block of chunk {chunk} is not as it was stored.",
            Treatment.QUARANTINE,
        )
    if found.opening is Opening.KEY_GONE:
        return fault(
            FindingKind.DRIVE_KEYS_UNUSABLE,
            f"The block of chunk {chunk} is as it was stored, under a key that is gone.",
            None,
        )
    if found.opening is Opening.BROKEN:
        return fault(
            FindingKind.BLOCK_UNREADABLE,
            f"The block of chunk {chunk} is as it was stored, but does not open to it.",
            Treatment.QUARANTINE,
        )
    return None


def returned_block(drive_id: str, chunk_id: bytes, found: FoundBlock | None) -> BlockFault | None:
    """Return the finding of a block that was lost and is there again, None if it is not. Pure."""
    if found is None or found.opening is not Opening.GOOD:
        return None
    chunk = chunk_id.hex()
    sentence = f"The block of chunk {chunk} was lost and is there again."
    finding = Finding(FindingKind.BLOCK_RETURNED, drive_id, chunk, sentence, True)
    return BlockFault(finding, Treatment.RESTORE)
