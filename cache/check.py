"""Whether the tables of a closed cache keep the invariants of rows.py. For tests and diagnosis."""

from cache.rows import (
    UNORDERED,
    IndexRow,
    Totals,
    charged_bytes_of,
    pack_stamp,
    piece_key,
    unpack_order,
    unpack_stamp,
    view_number_of,
)
from cache.sealing import piece_count, sealed_piece_bytes
from cache.store import Store, Transaction


def find_contradictions(store: Store) -> list[str]:
    """Return one line for each broken invariant, none if all is well. Reads every key."""
    with store.reading() as transaction:
        return [
            *_find_in_index(transaction),
            *_find_in_order(transaction),
            *_find_in_items(transaction),
            *_find_in_totals(transaction),
        ]


def _find_in_index(transaction: Transaction) -> list[str]:
    found = []
    for key, packed in transaction.scan(b"index"):
        row = IndexRow.unpack(packed)
        if row.charged_bytes != charged_bytes_of(row.length):
            found.append(f"{key.hex()} is charged with {row.charged_bytes} bytes")
        for index in range(piece_count(row.length)):
            piece = transaction.get(b"items", piece_key(key, index))
            if piece is None or len(piece) != sealed_piece_bytes(row.length, index):
                found.append(f"{key.hex()} lacks piece {index}, or not all of it is there")
        is_pinned = transaction.get(b"pins", key) is not None
        is_ordered = transaction.get(b"order", pack_stamp(row.stamp)) is not None
        if is_pinned == is_ordered or is_pinned != (row.stamp == UNORDERED):
            found.append(f"{key.hex()} is pinned: {is_pinned}, in the order: {is_ordered}")
    return found


def _find_in_order(transaction: Transaction) -> list[str]:
    found = []
    for stamp, packed in transaction.scan(b"order"):
        _, key = unpack_order(packed)
        row = transaction.get(b"index", key)
        if row is None or IndexRow.unpack(row).stamp != unpack_stamp(stamp):
            found.append(f"the order names {key.hex()} in vain")
    return found


def _find_in_items(transaction: Transaction) -> list[str]:
    pieces = sum(piece_count(IndexRow.unpack(row).length) for _, row in transaction.scan(b"index"))
    stored = transaction.count(b"items")
    return [] if pieces == stored else [f"{stored} pieces are stored, {pieces} are known"]


def _find_in_totals(transaction: Transaction) -> list[str]:
    sums: dict[int, Totals] = {}
    for key, packed in transaction.scan(b"index"):
        row = IndexRow.unpack(packed)
        totals = sums.setdefault(view_number_of(key), Totals())
        totals.used_bytes += row.charged_bytes
        totals.value_count += 1
        if transaction.get(b"pins", key) is not None:
            totals.pinned_bytes += row.charged_bytes
    stored = {
        view_number_of(key): Totals.unpack(packed) for key, packed in transaction.scan(b"totals")
    }
    pinned_views = {view_number_of(key) for key, _ in transaction.scan(b"pins")}
    return [
        f"view {number} sums to {sums.get(number)}, not to {stored.get(number)}"
        for number in {*sums, *stored, *pinned_views}
        if stored.get(number) != sums.get(number, Totals())
    ]
