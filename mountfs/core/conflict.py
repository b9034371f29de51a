"""Who is right when both sides may have changed something: pure decisions on (base, local, remote).

The merge base decides direction: whichever side still equals the base did not change. Nothing is
ever decided by a clock. A removal never beats an edit.
"""

from enum import Enum, auto

from mountfs.core.text_merge import TEXT_BYTES_MAX


class DentryVerdict(Enum):
    """What becomes of a dentry changed here, now that the mirror has `remote` there."""

    KEEP = auto()
    """Nothing happened to it on the server; our change stands as it is."""
    DONE = auto()
    """The server has what we wanted (our own change came back, or another did the same)."""
    KEEP_ON_NEW = auto()
    """The server's entry went away; our change stands, on top of nothing."""
    YIELD = auto()
    """We only removed what was there before; what is there now stays."""
    COLLIDE = auto()
    """Both sides put something different there: the server's keeps the name, ours gets another."""


def decide_dentry(*, expected: int, local: int, remote: int) -> DentryVerdict:
    """Return what becomes of a changed dentry. Nodes by number, 0 is "nothing". Pure."""
    if remote == local:
        return DentryVerdict.DONE
    if remote == expected:
        return DentryVerdict.KEEP
    if local == 0:
        return DentryVerdict.YIELD
    if remote == 0:
        return DentryVerdict.KEEP_ON_NEW
    return DentryVerdict.COLLIDE


class ContentVerdict(Enum):
    """What becomes of a file written here, now that the mirror has another head."""

    KEEP = auto()
    """The head is the one that our edit started from."""
    DONE = auto()
    """The head's bytes are ours."""
    REVIVE = auto()
    """The file was removed on the server: our edit makes it again."""
    KEEP_BOTH = auto()
    """Both sides edited: the head stays, ours becomes a conflict copy."""


def decide_content(
    *,
    expected_revision: int,
    remote_revision: int | None,
    local_manifest: bytes | None,
    remote_manifest: bytes,
) -> ContentVerdict:
    """Return what becomes of an overlay. Pure.

    Args:
        expected_revision: The head that our edit replaces.
        remote_revision: The head now; None when the file is gone.
        local_manifest: Id of our content if it is known by now, else None.
    """
    if remote_revision is None:
        return ContentVerdict.REVIVE
    if remote_revision == expected_revision:
        return ContentVerdict.KEEP
    if local_manifest is not None and local_manifest == remote_manifest:
        return ContentVerdict.DONE
    return ContentVerdict.KEEP_BOTH


def may_merge(
    *, base_bytes: int, our_bytes: int, their_bytes: int, is_open_for_writing: bool, is_wanted: bool
) -> bool:
    """Return whether two edits are worth an attempt to merge them; else both are kept. Pure.

    A program that has the file open for writing goes on from the bytes that it put there: none of
    them may change under its hands, and what it writes next was meant for them.
    """
    is_small = max(base_bytes, our_bytes, their_bytes) <= TEXT_BYTES_MAX
    return is_wanted and is_small and not is_open_for_writing


class DisputeVerdict(Enum):
    """What becomes of a file that both sides edited."""

    TAKE_THEIRS = auto()
    """The head has all that was written here."""
    COMMIT_MERGED = auto()
    """Both edits together become the next head."""
    KEEP_BOTH = auto()
    """As `ContentVerdict.KEEP_BOTH`."""


def decide_dispute(*, merged: bytes | None, theirs: bytes) -> DisputeVerdict:
    """Return what the merge (None: there is none) means for the file. Pure."""
    if merged is None:
        return DisputeVerdict.KEEP_BOTH
    return DisputeVerdict.TAKE_THEIRS if merged == theirs else DisputeVerdict.COMMIT_MERGED
