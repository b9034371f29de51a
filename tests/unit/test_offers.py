"""What a device offers again to a server that came back from a backup."""

import pytest

from backend_server.protocol.lost_past import LostPast
from mountfs.core.offers import NOT_THE_HEAD, Offer, Version, decide_offer

LOST = LostPast(10, 1000)
OLD, MINE, THEIRS = b"old", b"mine", b"theirs"
NODE = 7
MADE_AGAIN = Offer(NODE, True, True, NOT_THE_HEAD)


@pytest.mark.parametrize(
    ("mine", "theirs", "was_removed", "offer"),
    [
        # What is as old as the backup is the server's to tell.
        (Version(5, 9, OLD), Version(5, 9, OLD), False, None),
        (Version(5, 9, OLD), None, True, None),
        (Version(5, 9, OLD), Version(1001, 9, THEIRS), False, None),
        # Made in the lost time; a folder has no content.
        (Version(12, 11, MINE), None, False, MADE_AGAIN),
        (Version(0, 11, b""), None, False, Offer(NODE, True, False, NOT_THE_HEAD)),
        # Edited, removed since.
        (Version(12, 9, MINE), None, True, Offer(NODE, False, True, NOT_THE_HEAD)),
        (Version(5, 11, OLD), None, True, None),
        # Edited, on what the backup has.
        (Version(12, 9, MINE), Version(5, 9, OLD), False, Offer(NODE, False, True, 5, 9)),
        (Version(12, 11, MINE), Version(5, 9, OLD), False, Offer(NODE, False, True, 5, 9)),
        (Version(5, 11, OLD), Version(5, 9, OLD), False, Offer(NODE, attributes_version=9)),
        (Version(12, 9, MINE), Version(0, 9, b""), False, Offer(NODE, False, True, 0, 9)),
        # Edited since as well: both are kept; of attributes the server's.
        (
            Version(12, 11, MINE), Version(1001, 1002, THEIRS), False,
            Offer(NODE, False, True, NOT_THE_HEAD),
        ),
        # Another device was faster.
        (Version(12, 11, MINE), Version(1001, 1001, MINE), False, Offer(NODE, False, False, 1001)),
    ],
)  # fmt: skip
def test_what_is_offered(
    mine: Version, theirs: Version | None, was_removed: bool, offer: Offer | None
) -> None:
    assert decide_offer(NODE, mine, theirs, LOST, was_removed=was_removed) == offer
