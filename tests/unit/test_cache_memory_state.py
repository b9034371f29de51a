"""What an open cache keeps in memory only: recency and holds; and the bytes of its rows."""

import pytest

from cache import recency
from cache.holds import Holds
from cache.recency import Touches
from cache.rows import (
    CHUNK_KIND,
    ROW_OVERHEAD_BYTES,
    IndexRow,
    Totals,
    charged_bytes_of,
    pack_order,
    pack_stamp,
    piece_key,
    split_key,
    unpack_order,
    unpack_stamp,
    view_number_of,
    view_prefix,
)


def test_uses_come_out_oldest_first() -> None:
    touches = Touches()
    for key in (b"a", b"b", b"c", b"a"):
        touches.touch(key)

    assert b"a" in touches
    assert touches.take(2) == [b"b", b"c"]
    assert touches.take(2) == [b"a"]
    assert touches.take(2) == []


def test_the_unused_are_ordered_last() -> None:
    touches = Touches()
    touches.touch(b"b")
    touches.touch(b"a")

    assert touches.in_order([b"never", b"a", b"b"]) == [b"b", b"a", b"never"]
    touches.forget([b"a", b"never"])
    assert touches.take(9) == [b"b"]


def test_uses_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recency, "TOUCHED_COUNT_MAX", 3)
    touches = Touches()
    for index in range(5):
        touches.touch(b"%d" % index)
    touches.touch(b"0")  # what is noted already still moves

    assert touches.take(9) == [b"1", b"2", b"0"]


def test_holds_count() -> None:
    holds = Holds()
    holds.hold("home", [b"a", b"a", b"b"])
    holds.release("home", [b"a", b"b"])

    assert ("home", b"a") in holds
    assert ("home", b"b") not in holds
    assert ("other", b"a") not in holds
    holds.release("home", [b"a"])
    assert ("home", b"a") not in holds
    with pytest.raises(AssertionError):
        holds.release("home", [b"a"])


def test_rows_come_back() -> None:
    assert IndexRow.unpack(IndexRow(2**40, 7, 3).pack()) == IndexRow(2**40, 7, 3)
    assert Totals.unpack(Totals(1, 2**50, 3).pack()) == Totals(1, 2**50, 3)
    assert unpack_stamp(pack_stamp(2**40)) == 2**40
    assert unpack_order(pack_order(9, b"key")) == (9, b"key")
    key = view_prefix(258) + CHUNK_KIND + b"id"
    assert split_key(key) == (258, CHUNK_KIND, b"id")
    assert view_number_of(key) == 258


def test_byte_order_is_number_order() -> None:
    numbers = [0, 1, 255, 256, 2**31, 2**40]
    assert sorted(map(pack_stamp, reversed(numbers))) == list(map(pack_stamp, numbers))


def test_no_key_with_its_piece_is_another_key_with_its_piece() -> None:
    names = [b"a", b"a\0", b"a\0\0", b"a\0\0\0", b"a\0\1"]
    pieces = {piece_key(name, index) for name in names for index in range(300)}

    assert len(pieces) == len(names) * 300


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (0, 33 + ROW_OVERHEAD_BYTES),  # shares a page
        (1_000, 1_033 + ROW_OVERHEAD_BYTES),
        (4_000, 4_096 + ROW_OVERHEAD_BYTES),  # header, tag and page header still fit
        (4_096, 8_192 + ROW_OVERHEAD_BYTES),
        (256 * 1024, (25 + 25 + 17) * 4_096 + ROW_OVERHEAD_BYTES),
    ],
)
def test_a_value_is_charged_by_the_page(length: int, expected: int) -> None:
    assert charged_bytes_of(length) == expected
