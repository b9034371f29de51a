"""What a check of a server's data finds: inert values, each with what a person needs to know."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class FindingKind(StrEnum):
    """One word a kind of damage; stable, for programs."""

    # the file that holds everything
    DATABASE_DAMAGED = "database_damaged"
    # keys
    MASTER_KEY_UNUSABLE = "master_key_unusable"
    DRIVE_KEYS_UNUSABLE = "drive_keys_unusable"
    # counters and the journal
    HEAD_BEHIND = "head_behind"
    JOURNAL_GAP = "journal_gap"
    QUOTA_WRONG = "quota_wrong"
    RESERVATION_WRONG = "reservation_wrong"
    # the tree
    ROOT_GONE = "root_gone"
    DENTRY_DANGLING = "dentry_dangling"
    PARENT_GONE = "parent_gone"
    FOLDER_LINKED_TWICE = "folder_linked_twice"
    NODE_WITHOUT_NAME = "node_without_name"
    FOLDER_CYCLE = "folder_cycle"
    # content
    REVISION_GONE = "revision_gone"
    HEAD_WRONG = "head_wrong"
    MANIFEST_GONE = "manifest_gone"
    MANIFEST_DAMAGED = "manifest_damaged"
    SEGMENT_GONE = "segment_gone"
    SEGMENT_DAMAGED = "segment_damaged"
    CHUNK_UNSTORED = "chunk_unstored"
    # blocks
    BLOCK_MISSING = "block_missing"
    BLOCK_TRUNCATED = "block_truncated"
    BLOCK_DAMAGED = "block_damaged"
    BLOCK_UNREADABLE = "block_unreadable"
    BLOCK_RECORD_WRONG = "block_record_wrong"
    BLOCK_RETURNED = "block_returned"
    BLOCKS_FOLDER_GONE = "blocks_folder_gone"
    # the folder of blocks
    ORPHAN_OBJECT = "orphan_object"
    FOREIGN_FILE = "foreign_file"
    DRIVE_UNKNOWN = "drive_unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    `drive_id` is empty where no drive is concerned. `subject` names the row or the object.
    `is_repairable`: whether `--repair` sets it right, as far as a server can.
    """

    kind: FindingKind
    drive_id: str
    subject: str
    sentence: str
    is_repairable: bool


_RESTORE: Final = "Stop the server and restore the database from its backup."
_BRING_BACK: Final = (
    "Run with --repair, then start the server: devices that still have the content bring it back."
)

REMEDIES: Final[dict[FindingKind, str]] = {
    FindingKind.DATABASE_DAMAGED: _RESTORE,
    FindingKind.MASTER_KEY_UNUSABLE: "Put the recovery copy of the master key in its place.",
    FindingKind.DRIVE_KEYS_UNUSABLE: _RESTORE,
    FindingKind.HEAD_BEHIND: "Run with --repair.",
    FindingKind.JOURNAL_GAP: "Restore the database from its backup if the record matters; "
    "devices do not read it.",
    FindingKind.QUOTA_WRONG: "Run with --repair.",
    FindingKind.RESERVATION_WRONG: "Run with --repair.",
    FindingKind.ROOT_GONE: _RESTORE,
    FindingKind.DENTRY_DANGLING: "Run with --repair: the name is removed.",
    FindingKind.PARENT_GONE: "Run with --repair: what hangs on it goes to the top of the drive.",
    FindingKind.FOLDER_LINKED_TWICE: "Run with --repair: the name given last stays.",
    FindingKind.NODE_WITHOUT_NAME: "Run with --repair: it goes to the top of the drive.",
    FindingKind.FOLDER_CYCLE: "Run with --repair: it goes to the top of the drive.",
    FindingKind.REVISION_GONE: _RESTORE,
    FindingKind.HEAD_WRONG: "Run with --repair for those that can be told from their manifest; "
    "for others restore the database from its backup.",
    FindingKind.MANIFEST_GONE: "Run with --repair for those that can be made again; for others "
    "restore the database from its backup.",
    FindingKind.MANIFEST_DAMAGED: _RESTORE,
    FindingKind.SEGMENT_GONE: _RESTORE,
    FindingKind.SEGMENT_DAMAGED: _RESTORE,
    FindingKind.CHUNK_UNSTORED: _BRING_BACK,
    FindingKind.BLOCK_MISSING: _BRING_BACK,
    FindingKind.BLOCK_TRUNCATED: _BRING_BACK,
    FindingKind.BLOCK_DAMAGED: _BRING_BACK,
    FindingKind.BLOCK_UNREADABLE: _BRING_BACK,
    FindingKind.BLOCK_RECORD_WRONG: "Run with --repair: the block itself is good.",
    FindingKind.BLOCK_RETURNED: "Run with --repair: it is read again.",
    FindingKind.BLOCKS_FOLDER_GONE: "Is the disk with the blocks mounted? Mount it and check "
    "again, or restore the folder from its backup.",
    FindingKind.ORPHAN_OBJECT: "Run with --repair: it is removed.",
    FindingKind.FOREIGN_FILE: "Run with --repair: it is put into the quarantine folder.",
    FindingKind.DRIVE_UNKNOWN: "Restore the database that knows the drive, or remove the folder.",
}
"""What to do about each kind, in one sentence."""
assert set(REMEDIES) == set(FindingKind)


def remedies_of(kinds: Iterable[FindingKind]) -> list[str]:
    """Return what to do about `kinds`, each remedy once, in their order. Pure."""
    return list(dict.fromkeys(REMEDIES[kind] for kind in kinds))
