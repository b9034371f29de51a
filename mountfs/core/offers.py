"""What a device offers again to a server that came back from a backup. Pure.

The mirror knows the drive as it was before that: some of it is newer than the backup, and nowhere
but here. What the server has of the same node decides:

    nothing, and removed it since   an edit of the lost time is an edit; it beats the removal
    nothing                         the node was made in the lost time: it is made again, as it was
    what the backup has             content and attributes of the lost time follow on that
    something newer                 two edits, of which neither saw the other: both are kept

Names and removals of the lost time are not offered: a file has the name that the backup has, and
what had been removed is back.
"""

from typing import NamedTuple

from backend_server.protocol.lost_past import LostPast

NOT_THE_HEAD = 0
"""A revision that no head with content has: an edit that expects it meets another edit."""


class Version(NamedTuple):
    """What one side has of a node. `revision` 0: it never had content."""

    revision: int
    attributes_version: int
    manifest_id: bytes


class Offer(NamedTuple):
    """What is to be sent of a node."""

    node_id: int
    is_made_again: bool = False
    has_content: bool = False
    expected_revision: int | None = None
    """The head that the content, or an edit that was made of it, is to follow; None: its own."""
    attributes_version: int | None = None
    """The version that the attributes are to follow; None: they are the server's. A content brings
    its times with them."""
    keeps_both: bool = False
    """Also what was written here beside the content that is offered, and is not one with it yet."""


def decide_offer(
    node_id: int, mine: Version, theirs: Version | None, lost: LostPast, *, was_removed: bool
) -> Offer | None:
    """Return what of a node is to be offered, None for nothing. Pure.

    Args:
        mine: What the mirror had when it met the server that came back.
        theirs: What the server has; None: nothing.
        was_removed: Whether it says that the node was removed since it is back.
    """
    is_content_lost, are_attributes_lost = map(lost.has, mine[:2])
    if not (is_content_lost or are_attributes_lost):
        return None
    if theirs is None:
        if not was_removed:
            return Offer(node_id, True, bool(mine.revision), NOT_THE_HEAD)
        return Offer(node_id, False, True, NOT_THE_HEAD) if is_content_lost else None
    is_same = mine.manifest_id == theirs.manifest_id
    is_head_known = is_same or theirs.revision <= lost.kept_through
    are_theirs_older = theirs.attributes_version <= lost.kept_through
    expected_revision = attributes_version = None
    if is_content_lost:
        expected_revision = theirs.revision if is_head_known else NOT_THE_HEAD
    has_content = is_content_lost and not is_same
    if (are_attributes_lost or has_content) and are_theirs_older:
        attributes_version = theirs.attributes_version
    if expected_revision is None and attributes_version is None:
        return None
    return Offer(node_id, False, has_content, expected_revision, attributes_version)
