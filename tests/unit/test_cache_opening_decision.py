"""What is trusted of a cache folder, by how it was left."""

import pytest

from cache.contract import Opening
from cache.marks import FORMAT, StopMark
from cache.opening import SHORT_LIVED_COUNT_MAX, decide_opening

KEY_CHECK = bytes(16)


def mark(
    *,
    is_clean: bool = False,
    boot_id: str = "this boot",
    key_check: bytes = KEY_CHECK,
    short_lived_count: int = 0,
    database_bytes: int = 0,
    format_: int = FORMAT,
) -> StopMark:
    return StopMark(is_clean, boot_id, key_check, short_lived_count, database_bytes, format_)


@pytest.mark.parametrize(
    ("left", "boot_id", "expected"),
    [
        (mark(is_clean=True), "this boot", Opening.RESUMED),
        (mark(is_clean=True), "next boot", Opening.RESUMED),
        (mark(is_clean=True), None, Opening.RESUMED),
        (mark(is_clean=True, database_bytes=8192), "this boot", Opening.RESUMED),
        (mark(is_clean=True, database_bytes=8193), "this boot", Opening.EMPTIED_DAMAGED),
        (mark(), "this boot", Opening.RESUMED_AFTER_CRASH),
        (mark(), "next boot", Opening.EMPTIED_MACHINE_STOP),
        (mark(boot_id=""), None, Opening.EMPTIED_MACHINE_STOP),
        (mark(key_check=b"1" * 16, is_clean=True), "this boot", Opening.EMPTIED_OTHER_KEY),
        (mark(format_=FORMAT + 1, is_clean=True), "this boot", Opening.EMPTIED_OTHER_FORMAT),
        (None, "this boot", Opening.EMPTIED_DAMAGED),
        (
            mark(short_lived_count=SHORT_LIVED_COUNT_MAX - 1),
            "this boot",
            Opening.RESUMED_AFTER_CRASH,
        ),
        (
            mark(short_lived_count=SHORT_LIVED_COUNT_MAX),
            "this boot",
            Opening.EMPTIED_CRASH_LOOP,
        ),
    ],
)
def test_what_may_be_trusted(left: StopMark | None, boot_id: str | None, expected: Opening) -> None:
    assert (
        decide_opening(left, database_bytes=8192, boot_id=boot_id, key_check=KEY_CHECK) is expected
    )


@pytest.mark.parametrize("left", [None, mark(), mark(is_clean=True)])
def test_without_a_database_everything_is_new(left: StopMark | None) -> None:
    opening = decide_opening(left, database_bytes=None, boot_id="this boot", key_check=KEY_CHECK)

    assert opening is Opening.NEW
    assert not opening.was_emptied


def test_only_what_was_thrown_away_counts_as_emptied() -> None:
    kept = {Opening.NEW, Opening.RESUMED, Opening.RESUMED_AFTER_CRASH}

    assert {opening for opening in Opening if not opening.was_emptied} == kept
