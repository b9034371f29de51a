"""The bytes of keys and rows in the database.

    key          view number (4) | kind (1) | id            the name of one value here
    items        key | piece index (2)  ->  sealed piece     (sealing.py)
    index        key  ->  stamp (8) | charged bytes (4) | plaintext length (4)
    order        stamp (8)  ->  charged bytes (4) | key      oldest first; pinned values have none
    pins         key  ->  count (4)                          also of values that are not here
    totals       view number (4)  ->  bytes (8) | values (8) | pinned bytes (8)

Invariants, at the end of every transaction: a value has all its pieces and one index row, or
nothing; it has a stamp and the order row of that stamp, or it has a pins row and the stamp
UNORDERED; its view's totals are the sums of the index rows. All numbers are big-endian, so that
byte order is number order. Pure.
"""

import struct
from dataclasses import dataclass
from typing import Final

from cache.sealing import piece_count, sealed_piece_bytes
from cache.store import PAGE_BYTES, PAGE_HEADER_BYTES, SHARED_PAGE_VALUE_BYTES_MAX

CHUNK_KIND: Final = b"c"
VALUE_KIND: Final = b"v"
ID_BYTES_MAX: Final = 255

# Rows in index and order with their share of half-filled pages, for honest sums.
ROW_OVERHEAD_BYTES: Final = 256

UNORDERED: Final = (1 << 64) - 1
"""The stamp of pinned values: they stand in no order, and their former stamp is free again."""

_VIEW: Final = struct.Struct(">I")
_PIECE: Final = struct.Struct(">H")
_INDEX_ROW: Final = struct.Struct(">QII")
_STAMP: Final = struct.Struct(">Q")
_SIZE: Final = struct.Struct(">I")
_TOTALS: Final = struct.Struct(">QQQ")


@dataclass(frozen=True, slots=True)
class IndexRow:
    """What is known of a stored value without opening it."""

    stamp: int
    charged_bytes: int
    length: int

    def pack(self) -> bytes:
        """Return the row's bytes. Pure."""
        return _INDEX_ROW.pack(self.stamp, self.charged_bytes, self.length)

    @classmethod
    def unpack(cls, row: bytes | memoryview) -> "IndexRow":
        """Return the row from its bytes. Pure."""
        return cls(*_INDEX_ROW.unpack(row))


@dataclass(slots=True)
class Totals:
    """Sums over the values of one view."""

    used_bytes: int = 0
    value_count: int = 0
    pinned_bytes: int = 0

    def pack(self) -> bytes:
        """Return the row's bytes. Pure."""
        return _TOTALS.pack(self.used_bytes, self.value_count, self.pinned_bytes)

    @classmethod
    def unpack(cls, row: bytes | memoryview) -> "Totals":
        """Return the row from its bytes. Pure."""
        return cls(*_TOTALS.unpack(row))


def view_prefix(view_number: int) -> bytes:
    """Return what every key of a view begins with. Pure."""
    return _VIEW.pack(view_number)


def view_number_of(key: bytes) -> int:
    """Return the view that a key, or a row of totals, belongs to. Pure."""
    number: int = _VIEW.unpack_from(key)[0]
    return number


def piece_key(key: bytes, piece_index: int) -> bytes:
    """Return where a piece is stored. Pure."""
    return key + _PIECE.pack(piece_index)


def pack_stamp(stamp: int) -> bytes:
    """Return the key of an order row. Pure."""
    return _STAMP.pack(stamp)


def unpack_stamp(packed: bytes) -> int:
    """Return the stamp of an order row's key. Pure."""
    stamp: int = _STAMP.unpack(packed)[0]
    return stamp


def pack_order(charged_bytes: int, key: bytes) -> bytes:
    """Return the value of an order row. Pure."""
    return _SIZE.pack(charged_bytes) + key


def unpack_order(row: bytes) -> tuple[int, bytes]:
    """Return (charged bytes, key) of an order row. Pure."""
    return _SIZE.unpack_from(row)[0], row[_SIZE.size :]


def pack_pin(count: int) -> bytes:
    """Return the value of a pins row. Pure."""
    return _SIZE.pack(count)


def unpack_pin(row: bytes | memoryview) -> int:
    """Return the count of a pins row. Pure."""
    count: int = _SIZE.unpack(row)[0]
    return count


def charged_bytes_of(length: int) -> int:
    """Return the disk space that a value of `length` bytes is charged with. Pure."""
    charged = ROW_OVERHEAD_BYTES
    for index in range(piece_count(length)):
        stored = sealed_piece_bytes(length, index)
        if stored > SHARED_PAGE_VALUE_BYTES_MAX:
            stored = -(-(stored + PAGE_HEADER_BYTES) // PAGE_BYTES) * PAGE_BYTES
        charged += stored
    return charged


def split_key(key: bytes) -> tuple[int, bytes, bytes]:
    """Return (view number, kind, id) of a key. Pure."""
    return view_number_of(key), key[_VIEW.size : _VIEW.size + 1], key[_VIEW.size + 1 :]
